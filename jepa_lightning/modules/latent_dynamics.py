# B batch, C channels, T frames, H W height and width, N tokens of a frame, D width, A numbers of an action, K steps
"""States of frames, what follows them under actions, and how far that is from a goal: all that planning needs."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from jepa_lightning.data.videos.action_clips import frames_to_clips
from jepa_lightning.losses import Distance, prediction_distance
from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.modules.trajectories import Actions

Reduce = Literal["sum", "last"]


class LatentDynamics(EncoderModule):
    """Base of modules that predict states under actions.

    A subclass builds the networks below, and says with ``in_tokens`` whether a state is one vector or all tokens of a
    frame.
    """

    encoder: nn.Module
    state_head: nn.Module
    predictor: nn.Module
    predictor_head: nn.Module | None
    actions: Actions
    is_frozen: bool
    in_tokens: bool
    rollout_gradient: bool
    distance_name: Distance

    @property
    def width(self) -> int:
        """D, the width of states."""
        return int(self.encoder.width)  # type: ignore[arg-type]  # any network of the user's

    @property
    def eval_encoder(self) -> nn.Module:
        """The encoder of frames."""
        return self.encoder

    @property
    def frame_skip(self) -> int | None:
        """Steps of the environment from a frame to the next; None where neither options nor data have told."""
        skip: int | None = self.hparams["frame_skip"]
        return skip

    @property
    def history(self) -> int:
        """Number of states that a prediction depends on, the last one included."""
        return int(self.predictor.reach)  # type: ignore[arg-type]

    def take_actions(self, size: int, mean: Sequence[float], std: Sequence[float], frame_skip: int = 1) -> None:
        """Takes the statistics of actions from the data, where the module was given none; checkpoints hold them.

        Args:
            size: number of values in an action.
            mean: of each.
            std: of each.
            frame_skip: steps of the environment, and so actions of its own, that an action has.

        Raises:
            ValueError: if the size is another than ``action_size``.
        """
        if size != self.actions.size:
            raise ValueError(
                f"the data has actions of {size} numbers, and {type(self).__name__} has action_size="
                f"{self.actions.size}: set it to that of the data (--model.action_size {size})."
            )
        if self.hparams["frame_skip"] is None:
            self.hparams.update(frame_skip=frame_skip)
        if not self.actions.has_own_statistics:
            self.actions.take(mean, std)
            self.hparams.update(action_mean=list(mean), action_std=list(std))

    def clip(self, frames: Any) -> Tensor:
        """Frames of environments as ``encode`` takes them, of any number T.

        Args:
            frames: uint8 ``[B, T, H, W, C]``, an array or a tensor.

        Returns:
            ``[B, C, T, H, W]``, normalized, on the module's device.
        """
        return frames_to_clips(frames, self.image_size, self.mean, self.std).to(self.device)

    def encode(self, clip: Tensor) -> Tensor:
        """States of the frames of clips ``[B, C, T, H, W]``, each seen by itself.

        Returns:
            ``[B, T, D]``, or ``[B, T, N, D]`` with predictor tokens.
        """
        frames = clip.transpose(1, 2)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.is_frozen):
            tokens: Tensor = self.encoder(frames.flatten(0, 1))
        if not self.in_tokens:
            tokens = tokens.mean(dim=1)
        return _in_time(_through(self.state_head, tokens), frames)

    def forward(self, x: Tensor, layers: Sequence[int] | None = None, pool: bool = True) -> Tensor:
        """Features of clips or images: their states, averaged over frames and tokens.

        Args:
            x: ``[B, C, T, H, W]`` or ``[B, C, H, W]``.
            layers: blocks of the encoder whose outputs are put side by side, in place of states.
            pool: average over frames and tokens.

        Returns:
            ``[B, D]``, or ``[B, T * N, D]`` without pooling; ``L * D`` wide with L layers.
        """
        clip = x[:, :, None] if x.ndim == 4 else x
        if layers is None:
            states = self.encode(clip)
        else:
            frames = clip.transpose(1, 2)
            states = _in_time(super().forward(frames.flatten(0, 1), layers, pool=False), frames)
        tokens = states.flatten(1, -2)
        return tokens.mean(dim=1) if pool else tokens

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
        return _through(self.predictor_head or self.state_head, found)


def _through(head: nn.Module, tokens: Tensor) -> Tensor:
    """A head on the last axis of ``[..., D]``."""
    states: Tensor = head(tokens.flatten(0, -2))
    return states.view(*tokens.shape[:-1], -1)


def _in_time(states: Tensor, frames: Tensor) -> Tensor:
    """States ``[B * T, ...]`` of frames ``[B, T, ...]`` as ``[B, T, ...]``."""
    return states.view(*frames.shape[:2], *states.shape[1:])
