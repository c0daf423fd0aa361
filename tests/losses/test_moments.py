import numpy as np
import pytest
import torch

from jepa_lightning.losses.moments import moments


def two_views(offset: float) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(9, 4, generator=generator)
    return [first + offset, 2 * first + torch.randn(9, 4, generator=generator) - offset]


@pytest.mark.parametrize("offset", [0.0, 1000.0])
def test_sums_are_numpys_covariances_times_the_number_of_samples(offset: float) -> None:
    a, b = two_views(offset)
    found = moments([a, b], [(0, 0), (0, 1)], gather=False)
    joint = 9 * np.cov(np.hstack([a.double(), b.double()]), rowvar=False, ddof=0)
    close = {"rtol": 1e-4 if offset else 1e-5, "atol": 1e-3 if offset else 1e-5}
    np.testing.assert_allclose(found.products[0], joint[:4, :4], **close)
    np.testing.assert_allclose(found.products[1], joint[:4, 4:], **close)
    np.testing.assert_allclose(torch.cat(list(found.squares)), joint.diagonal(), **close)
    assert found.number == 9


def test_gradients_are_those_through_the_mean_too() -> None:
    views = [view.requires_grad_() for view in two_views(3.0)]
    weights = torch.randn(4, 4, generator=torch.Generator().manual_seed(1))
    found = moments(views, [(0, 1)], gather=False)
    (weights * found.products[0]).sum().backward()
    a, b = (view.detach().double().requires_grad_() for view in views)
    (weights.double() * ((a - a.mean(dim=0)).T @ (b - b.mean(dim=0)))).sum().backward()
    torch.testing.assert_close([view.grad.double() for view in views], [a.grad, b.grad], rtol=1e-5, atol=1e-5)


def test_gathering_on_one_rank_changes_nothing() -> None:
    alone, joint = (moments(two_views(1.0), [(0, 1)], gather) for gather in (False, True))
    assert joint.number == alone.number
    torch.testing.assert_close(joint.products, alone.products)
    torch.testing.assert_close(joint.squares, alone.squares)
