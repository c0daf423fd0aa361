from typing import Any

import pytest
import torch
from torch import Tensor, nn

from jepa_lightning.energy import Energetic, Sided, Sides, energy_of
from jepa_lightning.energy.sides import has_sides
from jepa_lightning.types import Masks


class Apart(nn.Module):
    """Encodes the two sides apart."""

    def sides(self, batch: Any) -> Any: ...

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        return (predicted - target).abs().flatten(1).mean(dim=1)

    def energy(self, batch: Any) -> Any: ...


class OwnEnergy(Apart):
    def energy(self, batch: Any) -> Any: ...


class OwnSides(OwnEnergy):
    def sides(self, batch: Any) -> Any: ...


class OwnDistance(Apart):
    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        return torch.zeros(len(predicted))


class EnergyAlone:
    def energy(self, batch: Any) -> Any: ...


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (Apart, True),
        (OwnEnergy, False),
        (OwnSides, True),
        (OwnDistance, True),
        (EnergyAlone, False),
        (nn.Linear, False),
    ],
)
def test_the_later_of_energy_and_sides_counts(cls: Any, expected: bool) -> None:
    module = cls(2, 2) if cls is nn.Linear else cls()
    assert has_sides(module) is expected
    assert isinstance(module, Energetic) == (cls is not nn.Linear)
    assert isinstance(module, Sided) == issubclass(cls, Apart)


def test_an_energy_that_one_module_was_given_counts() -> None:
    module: Any = Apart()
    module.energy = lambda batch: torch.zeros(2)
    assert not has_sides(module)
    module.sides = lambda batch: None
    assert has_sides(module)
    assert has_sides(Apart())


def test_without_masks_rows_are_compared() -> None:
    sides = Sides([torch.tensor([[0.0, 0], [1, 1]])], torch.tensor([[1.0, 3], [1, 1]]))
    assert energy_of(sides, (), Apart().distance).tolist() == [2, 0]
    assert energy_of(Sides(sides.context, sides.target.flip(0)), (), Apart().distance).tolist() == [1, 1]


def masks(*target: list[list[int]]) -> Masks:
    return Masks(torch.zeros(len(target), 1, dtype=torch.long), torch.tensor(target))


def test_masks_choose_the_tokens_of_each_row_and_kinds_of_masks_are_averaged() -> None:
    target = torch.tensor([[0.0, 1, 2, 3], [10, 11, 12, 13]]).unsqueeze(2)  # 4 tokens of width 1
    kinds = masks([[0, 1], [2, 3]], [[3, 2], [1, 0]]), masks([[3]], [[3]])
    contexts = [torch.zeros(2, 2, 2, 1), torch.zeros(2, 1, 1, 1)]
    found = energy_of(Sides(contexts, target), kinds, Apart().distance)
    assert found.tolist() == [(1.5 + 3) / 2, (11.5 + 13) / 2]


def test_masks_of_further_crops_predict_nothing() -> None:
    target = torch.arange(4.0).reshape(1, 4, 1)
    kinds = masks([[1]]), masks([[3]])
    assert energy_of(Sides([torch.zeros(1, 1, 1, 1)], target), kinds, Apart().distance).tolist() == [1]
