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

    Example:
        >>> import torch
        >>> from jepa_lightning import SimCLR
        >>> from jepa_lightning.types import Batch
        >>> module = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8, projector_dim=16)
        >>> (context,), target = module.sides(Batch([torch.rand(4, 3, 32, 32), torch.rand(4, 3, 32, 32)]))
        >>> context.shape, target.shape
        (torch.Size([4, 16]), torch.Size([4, 16]))
    """

    context: Sequence[Tensor]
    target: Tensor


@runtime_checkable
class Energetic(Protocol):
    """What has an energy: every ``JEPAModule``, and any class with this method.

    Example:
        >>> import torch
        >>> from jepa_lightning.energy import Energetic, pairwise_energy
        >>> from jepa_lightning.types import Batch
        >>> class Brightness:
        ...     def energy(self, batch):
        ...         context, target = (view.mean(dim=(1, 2, 3)) for view in (batch.views[0], batch.views[-1]))
        ...         return (context - target).abs()
        >>> isinstance(Brightness(), Energetic)
        True
        >>> pairwise_energy(Brightness(), Batch([torch.arange(2.0).reshape(2, 1, 1, 1)]))
        tensor([[0., 1.],
                [1., 0.]])
    """

    def energy(self, batch: Batch) -> Tensor:
        """Energy of the context of the first view and the target of the last, ``[B]``."""
        ...


@runtime_checkable
class Sided(Energetic, Protocol):
    """What encodes the two sides of its energy apart; ``energy`` is then ``energy_of(sides, masks, distance)``.

    Example:
        >>> from jepa_lightning import MAE
        >>> from jepa_lightning.energy import Sided
        >>> isinstance(MAE("vit_tiny", depth=1, image_size=32, patch_size=8, decoder_depth=1), Sided)
        True
    """

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

    Example:
        >>> import torch
        >>> from jepa_lightning.energy import Sides, energy_of
        >>> sides = Sides([torch.zeros(2, 3)], torch.tensor([[0.0, 0, 0], [1, 1, 1]]))
        >>> energy_of(sides, masks=(), distance=lambda predicted, target: (predicted - target).square().mean(dim=1))
        tensor([0., 1.])
    """
    targets = [blocks_of(sides.target, kind) for kind in masks] if masks else [sides.target]
    # a batch may have masks of further crops, which predict nothing
    pairs = zip(sides.context, targets, strict=False)
    return torch.stack([distance(predicted, target) for predicted, target in pairs]).mean(dim=0)


def has_sides(module: Energetic) -> TypeGuard[Sided]:
    """Whether the energy of a module is that of its sides: a subclass, or a module, may have an ``energy`` of its own.

    Args:
        module: any method.
    """
    if not isinstance(module, Sided):
        return False
    places = [module, *type(module).__mro__]
    energy, sides = (next(i for i, each in enumerate(places) if name in vars(each)) for name in ("energy", "sides"))
    return energy >= sides
