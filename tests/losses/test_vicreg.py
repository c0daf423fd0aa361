import numpy as np
import pytest
import torch

from jepa_lightning.losses import VarianceCovariance, covariance_loss, variance_loss


def features() -> torch.Tensor:
    torch.manual_seed(0)
    return torch.randn(12, 5) * torch.tensor([0.1, 0.5, 1.0, 2.0, 0.9]) + 3


@pytest.mark.parametrize(("target_std", "eps"), [(1.0, 1e-4), (0.7, 1e-2)])
def test_variance_equals_a_slow_loop_over_features(target_std, eps):
    columns = features().double().numpy().T
    slow = np.mean([max(0.0, target_std - np.sqrt(np.var(column, ddof=1) + eps)) for column in columns])
    assert variance_loss(features(), target_std, eps).item() == pytest.approx(slow, rel=1e-5)


def test_covariance_equals_a_slow_loop_over_pairs():
    matrix = np.cov(features().double().numpy(), rowvar=False)
    slow = sum(matrix[i, j] ** 2 for i in range(5) for j in range(5) if i != j) / 5
    assert covariance_loss(features()).item() == pytest.approx(slow, rel=1e-5)


def test_module_weighs_both_terms_by_default_as_vicreg():
    x = features()
    expected = 3 * variance_loss(x, 0.5) + 0.2 * covariance_loss(x)
    torch.testing.assert_close(VarianceCovariance(3, 0.2, target_std=0.5)(x), expected)
    torch.testing.assert_close(VarianceCovariance()(x), 25 * variance_loss(x) + covariance_loss(x))


def test_collapsed_features_cost_variance_and_uncorrelated_wide_ones_nothing():
    collapsed = torch.ones(8, 4)
    assert variance_loss(collapsed).item() == pytest.approx(1 - 0.01)
    assert covariance_loss(collapsed) == 0
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    assert variance_loss(signs) == 0
    assert covariance_loss(signs) == 0
    assert covariance_loss(signs[:, [0, 0]]).item() == pytest.approx(2 * (4 / 3) ** 2 / 2)


def test_gradient_is_finite_at_full_collapse_and_spreads_features():
    x = torch.zeros(6, 3, requires_grad=True)
    VarianceCovariance()(x).backward()
    assert x.grad.isfinite().all()
    torch.manual_seed(0)
    x = (0.1 * torch.randn(6, 3)).requires_grad_()
    loss = VarianceCovariance()(x)
    loss.backward()
    moved = x - 0.1 * x.grad
    assert VarianceCovariance()(moved) < loss
    assert moved.std(dim=0).mean() > x.std(dim=0).mean()


def test_autocast_and_half_precision_do_not_coarsen_the_statistics():
    x = features()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = covariance_loss(x), variance_loss(x)
    assert inside == (covariance_loss(x), variance_loss(x))
    assert covariance_loss(x.bfloat16()) == covariance_loss(x.bfloat16().float())
    assert variance_loss(x.bfloat16()) == variance_loss(x.bfloat16().float())


@pytest.mark.parametrize("loss", [variance_loss, covariance_loss])
def test_a_single_sample_or_another_shape_is_named(loss):
    with pytest.raises(ValueError, match=rf"{loss.__name__} .* needs at least 2 samples, got 1"):
        loss(torch.randn(1, 4))
    with pytest.raises(ValueError, match=rf"{loss.__name__} takes \[B, D\], got a tensor of shape \(2, 3, 4\)"):
        loss(torch.randn(2, 3, 4))
