# A dimension of an action; ... any dimensions before it, such as B episodes, S samples, H steps
"""Which actions an environment takes: those in a box, and within a norm where there is one."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Bounds:
    """The actions that may be taken, in the environment's own units.

    Attributes:
        low: ``[A]``, the least value of each number; ``-inf`` where there is none.
        high: ``[A]``, the greatest; ``inf`` where there is none.
        max_norm: the greatest Euclidean norm of an action, where the environment has one; zero must be in the box then.
        scale: ``[A]``, what planners take for the unit of their standard deviations. Half the width of the bounds by
            default; needed where they are infinite.

    Raises:
        ValueError: if these do not fit each other.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import Bounds
        >>> bounds = Bounds(torch.tensor([-2.0, -2.0]), torch.tensor([2.0, 2.0]), max_norm=2.0)
        >>> bounds.clip(torch.tensor([[3.0, 4.0], [5.0, 0.0], [0.5, 0.5]]))
        tensor([[1.2000, 1.6000],
                [2.0000, 0.0000],
                [0.5000, 0.5000]])
    """

    low: Tensor
    high: Tensor
    max_norm: float | None = None
    scale: Tensor | None = None

    def __post_init__(self) -> None:
        if self.low.ndim != 1 or self.low.shape != self.high.shape or not len(self.low):
            raise ValueError(f"bounds are two vectors [A], not {list(self.low.shape)} and {list(self.high.shape)}.")
        if not bool((self.low < self.high).all()):
            raise ValueError(f"the lower bounds {self.low.tolist()} are not below the upper ones {self.high.tolist()}.")
        if self.max_norm is not None:
            if not 0 < self.max_norm < math.inf:
                raise ValueError(f"max_norm={self.max_norm} is no norm: give a number above 0, or None.")
            if not bool((self.low <= 0).all() and (self.high >= 0).all()):
                raise ValueError(
                    f"with a max_norm zero has to be in the box {self.low.tolist()}, {self.high.tolist()}."
                )
        if self.scale is None:
            object.__setattr__(self, "scale", self._half_width())
        elif self.scale.shape != self.low.shape:
            raise ValueError(f"scale has the shape {list(self.scale.shape)}, and the bounds {list(self.low.shape)}.")
        if not bool((self.unit > 0).all() and self.unit.isfinite().all()):
            raise ValueError("without finite bounds give a scale: the unit of standard deviations, above 0.")

    @property
    def unit(self) -> Tensor:
        """``scale``, which is known by now."""
        assert self.scale is not None
        return self.scale

    @property
    def size(self) -> int:
        """A, the numbers of an action."""
        return len(self.low)

    @property
    def center(self) -> Tensor:
        """``[A]``, the middle of the box; zero where it is infinite."""
        middle = (self.low + self.high) / 2
        return torch.where(middle.isfinite(), middle, torch.zeros_like(middle))

    def clip(self, actions: Tensor) -> Tensor:
        """The nearest actions within the norm, then within the box.

        Args:
            actions: ``[..., A]``.
        """
        if self.max_norm is not None:
            norm = actions.square().sum(dim=-1, keepdim=True).sqrt()
            actions = actions * (self.max_norm / norm.clamp(min=self.max_norm))
        return actions.clamp(self.low, self.high)  # which makes no norm larger, since zero is in the box

    def _half_width(self) -> Tensor:
        half = (self.high - self.low) / 2
        return half if self.max_norm is None else half.clamp(max=self.max_norm)
