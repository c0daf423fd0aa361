import pytest
import torch
from torch import Tensor

from jepa_lightning.losses import BarlowTwinsLoss, barlow_twins_loss

# centered columns of standard deviation 1 that are uncorrelated
WHITE = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, -1.0], [-1.0, 1.0, -1.0], [-1.0, -1.0, 1.0]])


def two_views(batch: int = 9, width: int = 4) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(batch * 100 + width)
    a = 3 * torch.randn(batch, width, generator=generator) + 1
    return a, a + torch.randn(batch, width, generator=generator)


def slow_barlow(a: Tensor, b: Tensor, off_diagonal: float, eps: float) -> Tensor:
    a, b = a.double(), b.double()
    batch, width = a.shape
    loss = torch.zeros((), dtype=torch.float64)
    for i in range(width):
        for j in range(width):
            x, y = a[:, i] - a[:, i].sum() / batch, b[:, j] - b[:, j].sum() / batch
            lengths = ((x * x).sum() / batch + eps).sqrt() * ((y * y).sum() / batch + eps).sqrt()
            correlation = (x * y).sum() / batch / lengths
            loss = loss + ((1 - correlation) ** 2 if i == j else off_diagonal * correlation**2)
    return loss


@pytest.mark.parametrize(("batch", "width"), [(2, 1), (3, 4), (9, 6)])
@pytest.mark.parametrize(("off_diagonal", "eps"), [(0.005, 1e-5), (1.0, 0.1), (0.0, 1e-5)])
def test_equals_a_slow_loop_over_pairs_of_features(batch: int, width: int, off_diagonal: float, eps: float) -> None:
    views = [view.requires_grad_() for view in two_views(batch, width)]
    fast, slow = barlow_twins_loss(*views, off_diagonal, eps), slow_barlow(*views, off_diagonal, eps)
    assert fast.item() == pytest.approx(slow.item(), rel=1e-4, abs=1e-6)
    torch.testing.assert_close(torch.autograd.grad(fast, views), torch.autograd.grad(slow, views), rtol=1e-3, atol=1e-5)


def test_whitened_views_cost_nothing_if_they_agree() -> None:
    assert barlow_twins_loss(WHITE, WHITE, off_diagonal=1e6, eps=0) == 0
    assert barlow_twins_loss(WHITE, 5 * WHITE - 2, eps=0).item() == pytest.approx(0, abs=1e-10)
    # only the eps beside a variance of 1 keeps the diagonal from 1
    assert barlow_twins_loss(WHITE, WHITE, off_diagonal=1e6, eps=0.01).item() == pytest.approx(
        3 * (1 - 1 / 1.01) ** 2, rel=1e-4
    )


def test_whitened_views_that_disagree_cost_what_the_sums_say() -> None:
    assert barlow_twins_loss(WHITE, -WHITE, eps=0).item() == pytest.approx(3 * 4)
    assert barlow_twins_loss(WHITE, WHITE.roll(1, dims=1), 0.25, eps=0).item() == pytest.approx(3 * (1 + 0.25))
    # all features the same: every one of the six others is correlated
    assert barlow_twins_loss(WHITE[:, [0, 0, 0]], WHITE[:, [0, 0, 0]], 0.25, eps=0).item() == pytest.approx(6 * 0.25)


def test_gradient_is_finite_at_full_collapse() -> None:
    collapsed = torch.ones(5, 3, requires_grad=True)
    loss = barlow_twins_loss(collapsed, collapsed)
    loss.backward()
    assert loss.item() == pytest.approx(3)
    assert collapsed.grad.isfinite().all()


def test_autocast_and_half_precision_do_not_coarsen_it() -> None:
    a, b = two_views()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = barlow_twins_loss(a, b)
    assert inside == barlow_twins_loss(a, b)
    assert barlow_twins_loss(a.bfloat16(), b.bfloat16()) == barlow_twins_loss(
        a.bfloat16().float(), b.bfloat16().float()
    )


def test_module_equals_the_function() -> None:
    a, b = two_views()
    assert BarlowTwinsLoss(0.2)(a, b) == barlow_twins_loss(a, b, 0.2)
    assert BarlowTwinsLoss()(a, b) == barlow_twins_loss(a, b)


def test_a_single_sample_or_other_shapes_are_named() -> None:
    with pytest.raises(ValueError, match=r"barlow_twins_loss .* needs at least 2 samples, got 1"):
        barlow_twins_loss(torch.randn(1, 4), torch.randn(1, 4))
    with pytest.raises(ValueError, match=r"barlow_twins_loss takes .* \[B, D\], got \(3, 4\) and \(3, 5\)"):
        barlow_twins_loss(torch.randn(3, 4), torch.randn(3, 5))
    with pytest.raises(ValueError, match=r"barlow_twins_loss takes .* \[B, D\], got \(3,\) and \(3,\)"):
        barlow_twins_loss(torch.randn(3), torch.randn(3))
