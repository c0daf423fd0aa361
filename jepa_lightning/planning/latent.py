# B episodes, S samples, H steps, T0 frames of history, F frame skip, A dimension of an action, D width
"""The cost of actions in the representation of a world model, from a start and to a goal that are encoded already."""

from typing import Any, Literal, Protocol

import torch
from torch import Tensor

Reduce = Literal["sum", "last"]


class LatentModel(Protocol):
    """What a world model offers to planning; ``jepa_lightning.WorldModel`` does, and any object may."""

    def clip(self, frames: Tensor) -> Tensor:
        """Frames uint8 ``[B, T, H, W, C]`` as what is encoded, ``[B, C, T, H, W]``."""

    def encode(self, clip: Tensor) -> Tensor:
        """A clip ``[B, C, T, H, W]`` as states ``[B, T, ...]``."""

    def rollout(self, history: Tensor, actions: Tensor, past_actions: Tensor | None = None) -> Tensor:
        """States ``[B, H, ...]`` that follow from ``[B, T0, ...]`` by actions ``[B, H, A]``, after others."""

    def cost(self, rollout: Tensor, goal: Tensor, reduce: Reduce = "sum") -> Tensor:
        """How far states ``[B, H, ...]`` are from a goal ``[B, ...]``: ``[B]``, over all steps or for the last one."""


class LatentCost:
    """The cost of actions ``[B, S, H, A]``, as planners call it.

    Args:
        model: what imagines.
        history: ``[B, T0, ...]``, encoded.
        past_actions: ``[B, T0 - 1, F * A]``, those between the frames of the history.
        goal: ``[B, ...]``, encoded.
        reduce: the distance to the goal summed over all steps, or of the last step.
        frame_skip: F, actions of the environment for one step of the model.
        rollouts_at_once: limits memory; the cost is the same.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import LatentCost
        >>> class Point:  # whose state is its position
        ...     def rollout(self, history, actions, past_actions=None):
        ...         return history[:, -1:] + actions.cumsum(dim=1)
        ...     def cost(self, rollout, goal, reduce="sum"):
        ...         distance = (rollout - goal[:, None]).square().mean(dim=-1)
        ...         return distance.sum(dim=1) if reduce == "sum" else distance[:, -1]
        >>> cost = LatentCost(Point(), torch.zeros(3, 1, 2), torch.zeros(3, 0, 2), torch.ones(3, 2), reduce="last")
        >>> cost(torch.full((3, 8, 2, 2), 0.5)).unique()
        tensor([0.])
    """

    def __init__(
        self,
        model: Any,
        history: Tensor,
        past_actions: Tensor,
        goal: Tensor,
        reduce: Reduce = "sum",
        frame_skip: int = 1,
        rollouts_at_once: int = 4096,
    ) -> None:
        self.model, self.history, self.past_actions, self.goal = model, history, past_actions, goal
        self.reduce, self.frame_skip, self.rollouts_at_once = reduce, frame_skip, rollouts_at_once

    def __call__(self, actions: Tensor) -> Tensor:
        """The cost ``[B, S]`` of actions ``[B, S, H, A]``."""
        episodes, samples, steps, size = actions.shape
        rows = actions.reshape(episodes * samples, steps // self.frame_skip, self.frame_skip * size)
        owner = torch.arange(episodes, device=actions.device).repeat_interleave(samples)
        parts = range(0, len(rows), self.rollouts_at_once)
        costs = [self._costs(*(each[at : at + self.rollouts_at_once] for each in (rows, owner))) for at in parts]
        return torch.cat(costs).reshape(episodes, samples)

    def _costs(self, actions: Tensor, owner: Tensor) -> Tensor:
        past = self.past_actions[owner] if self.past_actions.shape[1] else None
        rollout = self.model.rollout(self.history[owner], actions, past)
        costs: Tensor = self.model.cost(rollout, self.goal[owner], reduce=self.reduce)
        return costs
