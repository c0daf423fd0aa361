# n running episodes, A dimension of an action
"""Policies that look at nothing, with which planning is compared on the same episodes."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.episodes import Scene


class RandomPolicy:
    """Actions drawn evenly from the bounds, without looking: a baseline.

    Args:
        bounds: which actions there are; where they are infinite, normal numbers times the scale.
        generators: one for each episode.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import Bounds, RandomPolicy, episode_generators
        >>> policy = RandomPolicy(Bounds(-torch.ones(2), torch.ones(2)), episode_generators(0, 4))
    """

    def __init__(self, bounds: Bounds, generators: Sequence[Generator]) -> None:
        self.bounds, self.generators = bounds, list(generators)

    def __call__(self, scene: Scene) -> Tensor:
        """The next action of the running episodes, ``[n, 1, A]``."""
        return torch.stack([self._draw(self.generators[i]) for i in scene.running.tolist()])[:, None]

    def _draw(self, generator: Generator) -> Tensor:
        low, high = self.bounds.low.cpu(), self.bounds.high.cpu()
        if not bool((low.isfinite() & high.isfinite()).all()):
            return self.bounds.clip(torch.randn(len(low), generator=generator) * self.bounds.unit.cpu())
        while True:  # what is outside of the norm is drawn again, so that no direction is preferred
            action = low + (high - low) * torch.rand(len(low), generator=generator)
            if self.bounds.max_norm is None or float(action.norm()) <= self.bounds.max_norm:
                return action


class ZeroPolicy:
    """The middle of the bounds at every step: a baseline.

    Args:
        bounds: which actions there are.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import Bounds, ZeroPolicy
        >>> policy = ZeroPolicy(Bounds(-torch.ones(2), torch.ones(2)))
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds

    def __call__(self, scene: Scene) -> Tensor:
        """The same action for each of the running episodes, ``[n, 1, A]``."""
        return self.bounds.center.cpu().expand(len(scene.running), 1, -1)
