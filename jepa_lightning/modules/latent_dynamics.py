# B batch, N tokens of a frame, D width, A numbers of an action, K steps
"""What follows states under actions, and how far that is from a goal: all that planning needs."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from jepa_lightning.losses import Distance, prediction_distance
from jepa_lightning.modules.frame_states import FrameStates, through

Reduce = Literal["sum", "last"]


class LatentDynamics(FrameStates):
    """Base of modules that predict states under actions.

    A subclass builds the networks below.
    """

    predictor: nn.Module
    predictor_head: nn.Module | None
    rollout_gradient: bool
    distance_name: Distance

    @property
    def history(self) -> int:
        """Number of states that a prediction depends on, the last one included."""
        return int(self.predictor.reach)  # type: ignore[arg-type]

    def predict(self, history: Tensor, actions: Tensor) -> Tensor:
        """The state that follows.

        Args:
            history: ``[B, T, D]`` or ``[B, T, N, D]``, of which no more than ``history`` are looked at.
            actions: ``[B, T, A]`` taken at these frames, in the units of the environment.

        Returns:
            ``[B, D]`` or ``[B, N, D]``.
        """
        return self.following(history[:, -self.history :], self.actions(actions)[:, -self.history :])[:, -1]

    def rollout(
        self, history: Tensor, actions: Tensor, past_actions: Tensor | None = None, cached: bool = True
    ) -> Tensor:
        """The states that follow under actions, each predicted from those before it.

        Args:
            history: states that are known, ``[B, T, D]`` or ``[B, T, N, D]``.
            actions: ``[B, K, A]``, the first one taken at the last known frame, in the units of the environment.
            past_actions: ``[B, T - 1, A]``, those taken at the frames before; the GRU, which looks at one state alone,
                needs none.
            cached: keep keys and values of earlier steps where the predictor can, instead of computing them again.

        Returns:
            ``[B, K, D]`` or ``[B, K, N, D]``.

        Raises:
            ValueError: if there is no action, or past actions are missing.
        """
        states = list(history[:, -self.history :].unbind(1))
        past = len(states) - 1
        if not actions.shape[1]:
            raise ValueError("a rollout of 0 actions has no states: give a horizon of at least 1.")
        if past and (past_actions is None or past_actions.shape[1] != history.shape[1] - 1):
            raise ValueError(
                f"a history of {history.shape[1]} states needs the {history.shape[1] - 1} actions between them: give "
                "past_actions."
            )
        taken = [] if past_actions is None or not past else list(self.actions(past_actions)[:, -past:].unbind(1))
        following: list[Tensor] = []
        memory = self.predictor.memory(len(states) + actions.shape[1] - 1) if cached else None  # type: ignore[operator]
        for action in self.actions(actions).unbind(1):
            taken.append(action)
            seen = 1 if memory is not None and following else self.history
            window = torch.stack(states[-seen:], dim=1), torch.stack(taken[-seen:], dim=1)
            following.append(self.following(*window, memory)[:, -1])
            states.append(following[-1] if self.rollout_gradient else following[-1].detach())
        return torch.stack(following, dim=1)

    def cost(self, rollout: Tensor, goal: Tensor, reduce: Reduce = "sum") -> Tensor:
        """How far the states of a rollout are from a goal.

        Args:
            rollout: ``[B, K, D]`` or ``[B, K, N, D]``.
            goal: ``[B, D]`` or ``[B, N, D]``, the state of a frame.
            reduce: ``sum`` over the steps, or the ``last`` one alone.

        Returns:
            ``[B]``.

        Raises:
            ValueError: if the goal is of another form than the states, or there is no such way to reduce.
        """
        if reduce not in get_args(Reduce):
            raise ValueError(f"there is no reduce '{reduce}': choose one of {', '.join(get_args(Reduce))}.")
        if goal.shape != rollout[:, 0].shape:
            raise ValueError(
                f"a goal of shape {list(goal.shape)} does not fit states of shape {list(rollout[:, 0].shape)}: encode "
                "one frame for each rollout."
            )
        steps = rollout[:, -1:] if reduce == "last" else rollout
        pairs = steps.flatten(0, 1), goal[:, None].expand_as(steps).flatten(0, 1)
        return self.distance(*pairs).view(steps.shape[:2]).sum(dim=1)

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Distance of predicted and encoded states ``[B, ..., D]``: ``[B]``."""
        return prediction_distance(predicted, target, self.distance_name)

    def following(self, states: Tensor, actions: Tensor, memory: Any = None) -> Tensor:
        """The states after each of some frames, ``[B, T, ...]``, under standardized actions ``[B, T, A]``."""
        found = self.predictor(states, actions, memory)
        return through(self.predictor_head or self.state_head, found)
