import math

import numpy as np
import pytest
import torch

from jepa_lightning.losses import Uniformity, uniformity_loss


def test_equals_a_slow_loop_over_pairs():
    features = torch.randn(7, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0, 0.2, 1.0, 1.0])
    rows = [row / np.linalg.norm(row) for row in features.double().numpy()]
    for sharpness in (2.0, 0.5):
        slow = np.log(
            np.mean(
                [
                    np.exp(-sharpness * np.sum((a - b) ** 2))
                    for i, a in enumerate(rows)
                    for j, b in enumerate(rows)
                    if i != j
                ]
            )
        )
        assert uniformity_loss(features, sharpness).item() == pytest.approx(slow, rel=1e-5)


def test_one_direction_costs_nothing_less_and_an_even_spread_the_least():
    assert uniformity_loss(torch.arange(1, 6)[:, None] * torch.ones(3)).item() == pytest.approx(0, abs=1e-6)
    opposite = torch.tensor([[1.0, 0.0], [-3.0, 0.0]])
    assert uniformity_loss(opposite).item() == pytest.approx(-8)
    width = 256
    even = torch.randn(2000, width, generator=torch.Generator().manual_seed(0))
    assert uniformity_loss(even).item() == pytest.approx(-4 + 8 / width, abs=0.01)


def test_gradient_is_finite_at_full_collapse_and_spreads_features():
    collapsed = torch.zeros(4, 3, requires_grad=True)
    uniformity_loss(collapsed).backward()
    assert collapsed.grad.isfinite().all()
    features = (torch.ones(6, 3) + 0.1 * torch.randn(6, 3, generator=torch.Generator().manual_seed(0))).requires_grad_()
    loss = uniformity_loss(features)
    loss.backward()
    assert uniformity_loss(features - 0.1 * features.grad) < loss


def test_module_weighs_it():
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(Uniformity(0.3, sharpness=1.0)(features), 0.3 * uniformity_loss(features, 1.0))


def test_autocast_does_not_coarsen_it():
    features = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = uniformity_loss(features)
    assert inside == uniformity_loss(features)
    assert math.isfinite(uniformity_loss(features.bfloat16()).item())


@pytest.mark.parametrize("shape", [(1, 4), (4,), (2, 3, 4)])
def test_a_single_sample_or_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="uniformity_loss"):
        uniformity_loss(torch.randn(shape))
