import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.losses import info_nce, info_nce_loss, uniformity_loss


def samples(batch: int = 6, width: int = 5) -> tuple[Tensor, Tensor]:
    a, noise = torch.randn(2, batch, width, generator=torch.Generator().manual_seed(batch)).double()
    return a, a + noise


def minus_cosine(context: Tensor, target: Tensor) -> Tensor:
    return -F.cosine_similarity(context, target)


def squared(context: Tensor, target: Tensor) -> Tensor:
    return (F.normalize(context) - F.normalize(target)).square().sum(1)


def by_the_formula(energies: Tensor, temperature: float) -> float:
    rows = energies.double().tolist()
    each = [
        row[i] / temperature + math.log(sum(math.exp(-value / temperature) for value in row))
        for i, row in enumerate(rows)
    ]
    return sum(each) / len(each)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.5])
@pytest.mark.parametrize("batch", [2, 6])
def test_with_minus_the_cosine_it_is_the_loss_of_moco(batch: int, temperature: float) -> None:
    queries, keys = samples(batch)
    expected = info_nce_loss(queries, keys, temperature).item()
    directions = F.normalize(queries), F.normalize(keys)
    assert info_nce(minus_cosine, queries, keys, temperature).item() == pytest.approx(expected, rel=1e-5)
    energies = -directions[0] @ directions[1].T
    assert info_nce(energies, temperature=temperature).item() == pytest.approx(expected, rel=1e-5)
    # |a - b|^2 = 2 - 2 cos: a constant in each row, and twice the scale
    assert info_nce(squared, queries, keys, 2 * temperature).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("temperature", [0.3, 2.0])
def test_it_is_the_formula_for_any_energy(temperature: float) -> None:
    energies = torch.rand(7, 7, generator=torch.Generator().manual_seed(0))
    assert info_nce(energies, temperature=temperature).item() == pytest.approx(by_the_formula(energies, temperature))
    shifted = energies + torch.arange(7.0)[:, None]
    assert torch.allclose(info_nce(shifted), info_nce(energies))
    assert not torch.allclose(info_nce(energies.T), info_nce(energies))


def test_its_terms_are_alignment_and_uniformity() -> None:
    """On the sphere, with E = |a - b|^2 / 2 and T = 1, the second term has the potential of sharpness 1 / 2."""
    points = F.normalize(samples(8)[0])
    energies = torch.cdist(points, points).square() / 2
    alignment = energies.diagonal().mean()
    foreign = energies[~torch.eye(8, dtype=torch.bool)].reshape(8, 7)
    spread = (-foreign).exp().mean().log()
    assert uniformity_loss(points, sharpness=0.5).item() == pytest.approx(spread.item(), rel=1e-5)
    whole = alignment + (1 + (-foreign).exp().sum(1)).log().mean()
    assert info_nce(energies).item() == pytest.approx(whole.item(), rel=1e-5)


def test_gradients_reach_both_sides_and_lower_the_true_energies_alone() -> None:
    energies = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    info_nce(energies).backward()
    same = torch.eye(5, dtype=torch.bool)
    assert (energies.grad[same] > 0).all()
    assert (energies.grad[~same] < 0).all()
    sides = [side.requires_grad_() for side in samples()]
    info_nce(squared, *sides).backward()
    assert all(side.grad.abs().sum() > 0 for side in sides)


def test_energies_of_tokens_are_taken_too() -> None:
    contexts, targets = torch.rand(2, 3, 4, 2, generator=torch.Generator().manual_seed(0))
    energies = torch.stack([torch.stack([(c - t).abs().mean() for t in targets]) for c in contexts])
    found = info_nce(lambda c, t: (c - t).abs().mean((1, 2)), contexts, targets)
    assert torch.allclose(found, info_nce(energies))


def test_what_is_no_contrast_is_refused() -> None:
    a, b = samples()
    for wrong, message in (
        (lambda: info_nce(torch.zeros(2, 3)), r"\[B, B\], got \[2, 3\]"),
        (lambda: info_nce(torch.zeros(1, 1)), "info_nce"),
        (lambda: info_nce(torch.zeros(2, 2), temperature=0), "temperature above 0, got 0"),
        (lambda: info_nce(torch.zeros(2, 2), temperature=math.nan), "finite temperature above 0, got nan"),
        (lambda: info_nce(torch.zeros(2, 2), temperature=math.inf), "finite temperature above 0, got inf"),
        (lambda: info_nce(torch.zeros(2, 2), a, b), "was given energies"),
        (lambda: info_nce(squared), r"contexts and targets of one number, got \[None, None\]"),
        (lambda: info_nce(squared, a, b[:-1]), r"one number, got \[6, 5\]"),
        (lambda: info_nce(lambda c, t: c - t, a, b), r"is \[36\], and the function returned \[36, 5\]"),
    ):
        with pytest.raises(ValueError, match=message):
            wrong()
