# B batch, M target blocks, Kt target tokens, N tokens of the grid, D width, P projection width
"""Energy: a number for a pair of a context and a target, low where they are compatible.

Source: LeCun, Chopra, Hadsell, Ranzato, Huang, "A Tutorial on Energy-Based Learning", 2006, section 1; LeCun, "A Path
Towards Autonomous Machine Intelligence", 2022, section 4, where the energy of a JEPA is its prediction error.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, TypeGuard, runtime_checkable

import torch
from torch import Tensor

from jepa_lightning.nn import blocks_of
from jepa_lightning.types import Batch, Masks

Distance = Callable[[Tensor, Tensor], Tensor]


class Sides(NamedTuple):
    """The two sides of an energy, each encoded once; any context can be held against any target.

    Attributes:
        context: what the contexts predict, ``[B, M, Kt, D]`` for each of the batch's masks; one ``[B, P]`` of a method
            without masks.
        target: tokens of whole views, ``[B, N, D]``, or ``[B, P]`` without masks.
    """

    context: Sequence[Tensor]
    target: Tensor


@runtime_checkable
class Energetic(Protocol):
    """What has an energy: every ``JEPAModule``, and any class with this method."""

    def energy(self, batch: Batch) -> Tensor:
        """Energy of the context of the first view and the target of the last, ``[B]``."""
        ...


@runtime_checkable
class Sided(Energetic, Protocol):
    """What encodes the two sides of its energy apart; ``energy`` is then ``energy_of(sides, masks, distance)``."""

    def sides(self, batch: Batch) -> Sides:
        """What the contexts of the first view predict, and the targets of the last view."""
        ...

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Distance of predictions to targets of the same shape, ``[B, M, Kt, D]`` or ``[B, P]``, to ``[B]``."""
        ...


def energy_of(sides: Sides, masks: Sequence[Masks], distance: Distance) -> Tensor:
    """Energy of each context with the target in its row: the mean of the distances over the contexts' masks.

    Args:
        sides: of a batch; ``target`` may be in another order than ``context``.
        masks: the batch's, of the contexts; they say which tokens of the target are compared.
        distance: the module's.

    Returns:
        ``[B]``.
    """
    targets = [blocks_of(sides.target, kind) for kind in masks] if masks else [sides.target]
    # a batch may have masks of further crops, which predict nothing
    pairs = zip(sides.context, targets, strict=False)
    return torch.stack([distance(predicted, target) for predicted, target in pairs]).mean(dim=0)


def has_sides(module: Energetic) -> TypeGuard[Sided]:
    """Whether the energy of a module is that of its sides: a subclass may have an ``energy`` of its own.

    Args:
        module: any method.
    """
    if not isinstance(module, Sided):
        return False
    classes = type(module).__mro__
    energy, sides = (next(i for i, cls in enumerate(classes) if name in vars(cls)) for name in ("energy", "sides"))
    return energy >= sides
