"""The target network of a JEPA: a frozen copy that follows the online network as an exponential moving average."""

import copy
import math
from typing import Literal, TypeVar

import torch
from torch import nn
from torch.distributed.tensor import DTensor

M = TypeVar("M", bound=nn.Module)
EMASchedule = Literal["linear", "cosine"]


def frozen_copy(module: M) -> M:
    """Copies a network into a target: own storage, no gradient, eval mode.

    The type and the state-dict names stay those of the module, so that a checkpoint and a sharding policy see two of
    the same. A parent's ``train()`` therefore reaches the copy too: whoever owns it overrides ``train()`` and calls
    ``eval()`` on the copy afterwards, as ``JEPAModule`` does for its targets.

    Args:
        module: the online network, before it is sharded or compiled.

    Returns:
        The copy.
    """
    return copy.deepcopy(module).requires_grad_(False).eval()


def check_pair(online: nn.Module, target: nn.Module) -> None:
    """Refuses a pair in which one cannot follow the other.

    Args:
        online: the network that is trained.
        target: its frozen copy.

    Raises:
        ValueError: if the two differ in a parameter's name or shape, or lie on the ranks of a sharded run in another
            way, or the target is in half precision.
    """
    source, moved = dict(online.named_parameters()), dict(target.named_parameters())
    if alone := sorted(source.keys() ^ moved.keys()):
        lacking = "target" if alone[0] in source else "online network"
        raise ValueError(f"EMA: the {lacking} has no parameter '{alone[0]}': make the target with frozen_copy(online).")
    for name, parameter in moved.items():
        if parameter.shape != source[name].shape:
            raise ValueError(
                f"EMA: parameter '{name}' is {tuple(source[name].shape)} online and {tuple(parameter.shape)} in the "
                "target: make the target with frozen_copy(online), and shard both in the same way."
            )
        if _layout(parameter) != _layout(source[name]):
            raise ValueError(
                f"EMA: parameter '{name}' is {_layout(source[name])} online and {_layout(parameter)} in the target: "
                "shard both in the same way, as jepa_lightning.distributed.samples.shard_ does."
            )
        if torch.finfo(parameter.dtype).bits < 32:
            raise ValueError(
                f"EMA: parameter '{name}' of the target is {parameter.dtype}, too coarse for the small steps of a "
                "moving average, which would vanish: keep weights in float32 (precision 'bf16-mixed')."
            )


class EMAPair:
    """An online network and its target, with their parameters side by side, so that an update walks no names.

    Args:
        online: the network that is trained.
        target: its frozen copy.

    Raises:
        ValueError: as ``check_pair``.

    Example:
        >>> import torch
        >>> from jepa_lightning.ema import EMAPair, frozen_copy
        >>> encoder = torch.nn.Linear(1, 1, bias=False)
        >>> target = frozen_copy(encoder)
        >>> _ = torch.nn.init.ones_(encoder.weight), torch.nn.init.zeros_(target.weight)
        >>> EMAPair(encoder, target).update_(0.75)
        >>> target.weight.item()
        0.25
    """

    def __init__(self, online: nn.Module, target: nn.Module) -> None:
        self.online, self.target = online, target
        self._match()

    @torch.no_grad()
    def update_(self, decay: float) -> None:
        """Moves the target, as ``ema_update_`` does; parameters that have been replaced are checked again.

        Args:
            decay: the weight of the old target, from 0 to 1.

        Raises:
            ValueError: as ``check_pair``, if parameters have been replaced.
        """
        now = [*self.online.parameters(), *self.target.parameters()]
        if len(now) != len(self._known) or any(a is not b for a, b in zip(now, self._known, strict=True)):
            self._match()
        # one fused update: a loop over a few hundred parameters costs more than the arithmetic
        torch._foreach_lerp_(self._moved, self._sources, 1 - decay)

    def _match(self) -> None:
        check_pair(self.online, self.target)
        sources, moved = dict(self.online.named_parameters()), dict(self.target.named_parameters())
        self._moved: list[torch.Tensor] = [*moved.values()]
        self._sources: list[torch.Tensor] = [sources[name] for name in moved]
        self._known = [*sources.values(), *self._moved]


def ema_update_(online: nn.Module, target: nn.Module, decay: float) -> None:
    """Moves every parameter of the target in place to ``decay * target + (1 - decay) * online``; buffers stay.

    Sharded weights are moved where they are: ranks need not talk. For many updates of one pair, ``EMAPair`` checks it
    once.

    Args:
        online: the network that is trained.
        target: its frozen copy.
        decay: the weight of the old target, from 0 to 1.

    Raises:
        ValueError: as ``check_pair``.
    """
    EMAPair(online, target).update_(decay)


def ema_decay(step: int, total_steps: float, start: float, end: float, schedule: EMASchedule = "linear") -> float:
    """The decay after a given optimizer step: from start to end, where it stays.

    Args:
        step: optimizer steps before this one, from 0.
        total_steps: where the end is reached.
        start: decay at step 0; 0.996 in I-JEPA.
        end: decay from ``total_steps`` on; 1.0 in I-JEPA.
        schedule: ``linear`` (I-JEPA), or ``cosine`` (BYOL, arXiv 2006.07733, section 3.1; DINO).

    Returns:
        ``start + step * (end - start) / total_steps`` on the line, or ``end``.
    """
    if step >= total_steps:
        return end
    if schedule == "cosine":
        return end - (end - start) * (1 + math.cos(math.pi * step / total_steps)) / 2
    return start + step * (end - start) / total_steps


def _layout(parameter: torch.Tensor) -> str:
    """How a parameter lies on the ranks."""
    if not isinstance(parameter, DTensor):
        return "whole"
    return f"{parameter.placements} on {parameter.device_mesh}"
