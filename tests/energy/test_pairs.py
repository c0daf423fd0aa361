from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import BYOL, IJEPA
from jepa_lightning.energy import pair_energy, pairwise_energy, true_and_foreign
from jepa_lightning.energy.sides import has_sides
from jepa_lightning.types import Batch

Build = Callable[..., Any]


def one_by_one(module: Any, batch: Batch) -> Tensor:
    """All pairs, each in a batch of its own: context i with target j under the masks of i."""
    size, energies = len(batch.views[0]), []
    for i in range(size):
        for j in range(size):
            masks = tuple(type(kept)(kept.context[[i]], kept.target[[i]]) for kept in batch.masks)
            extras = {name: values[[i]] for name, values in batch.extras.items()}
            energies.append(module.energy(Batch([batch.views[0][[i]], batch.views[-1][[j]]], masks, extras=extras)))
    return torch.cat(energies).reshape(size, size)


class OwnEnergy(IJEPA):
    """A subclass that says only what its energy is."""

    def energy(self, batch: Batch) -> Tensor:
        return 2 * super().energy(batch) + 1


class Plain(nn.Module):
    """No module of this package: it has ``energy``, and nothing else."""

    def energy(self, batch: Batch) -> Tensor:
        return (batch.views[0].mean((1, 2, 3)) - 2 * batch.views[-1].mean((1, 2, 3))).square()


def test_all_pairs_are_those_of_each_pair_alone(every_method: Build, batch_of: Build) -> None:
    module = every_method().eval()
    batch = batch_of(module)
    with torch.no_grad():
        energies = pairwise_energy(module, batch)
        assert has_sides(module)
        assert torch.allclose(energies, one_by_one(module, batch), atol=1e-5)
        assert torch.allclose(energies.diagonal(), module.energy(batch), atol=1e-5)
    assert energies.var() > 0  # pairs differ, so an order that is wrong would show


def test_in_training_the_diagonal_is_the_energy_too(every_method: Build, batch_of: Build) -> None:
    module = every_method()
    batch = batch_of(module)
    energies = pairwise_energy(module, batch)
    assert module.training
    assert torch.allclose(energies.diagonal(), module.energy(batch), atol=1e-5)
    energies.mean().backward()
    assert any(parameter.grad is not None for parameter in module.parameters())


@pytest.mark.parametrize("size", [1, 3])
def test_an_energy_alone_is_enough(size: int) -> None:
    batch = Batch([torch.rand(size, 3, 4, 4), torch.rand(size, 3, 4, 4)])
    single = Batch(batch.views[:1])
    for each in (batch, single):
        assert torch.allclose(pairwise_energy(Plain(), each), one_by_one(Plain(), each))
        assert torch.allclose(pairwise_energy(Plain(), each).diagonal(), Plain().energy(each))


def test_an_energy_that_a_subclass_overrides_counts(tiny_ijepa: Build, batch_of: Build) -> None:
    module = tiny_ijepa(OwnEnergy, min_keep=2).eval()
    batch = batch_of(module)
    assert not has_sides(module)
    assert torch.allclose(pairwise_energy(module, batch), one_by_one(module, batch), atol=1e-5)


def test_a_distance_that_a_subclass_overrides_counts(method: Build, batch_of: Build) -> None:
    class Halved(BYOL):
        def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
            return super().distance(predicted, target) / 2

    module = method("BYOL").eval()
    batch = batch_of(module)
    whole = pairwise_energy(module, batch)
    module.__class__ = Halved
    assert has_sides(module)
    assert torch.allclose(2 * pairwise_energy(module, batch), whole)


def test_pairs_that_are_given(method: Build, batch_of: Build) -> None:
    module = method("I-JEPA").eval()
    batch = batch_of(module)
    (view,) = batch.views
    all_pairs = pairwise_energy(module, batch)
    energies = pair_energy(module, view, view.roll(-1, 0), batch.masks)
    assert torch.allclose(energies, all_pairs.roll(-1, 1).diagonal(), atol=1e-5)


def test_true_and_foreign_pairs() -> None:
    true, foreign = true_and_foreign(torch.arange(9.0).reshape(3, 3))
    assert true.tolist() == [0, 4, 8]
    assert foreign.tolist() == [1, 2, 3, 5, 6, 7]
    for wrong in (torch.zeros(1, 1), torch.zeros(2, 3), torch.zeros(4)):
        with pytest.raises(ValueError, match=r"\[B, B\] with B of 2 or more"):
            true_and_foreign(wrong)


def test_each_context_has_one_target(every_method: Build, batch_of: Build) -> None:
    module = every_method().eval()
    batch = batch_of(module, size=3)
    views = [batch.views[0], batch.views[-1]]
    # targets of one sample would be held against all contexts
    with pytest.raises(ValueError, match="got 3 contexts and 1 targets"):
        pair_energy(module, views[0], views[1][:1], batch.masks)
    with pytest.raises(ValueError, match="got 3 contexts and 2 targets"):
        pairwise_energy(module, batch._replace(views=[views[0], views[1][:2]]))
    with pytest.raises(ValueError, match="got 0 contexts and 0 targets"):
        pairwise_energy(module, batch._replace(views=[view[:0] for view in views]))
