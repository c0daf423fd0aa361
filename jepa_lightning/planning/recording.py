# E episodes, K recorded ones, T frames, A dimension of an action, H W C height, width, channels
"""What is kept of episodes, for pictures and diagnostics."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


class Recording:
    """Frames, actions and positions of the first episodes.

    Args:
        episodes: how many.
        frames: uint8 ``[E, H, W, C]``, the first of all episodes.
        info: what the environment says about the true state.
    """

    def __init__(self, episodes: int, frames: Tensor, info: Mapping[str, Any]) -> None:
        self.episodes = episodes
        self.frames, self.actions = [frames[:episodes]], list[Tensor]()
        self.positions = [self._of(info, "position")]
        self.goal = self._of(info, "goal")

    def add(self, frames: Tensor, actions: Tensor, info: Mapping[str, Any]) -> None:
        """Takes what followed, of all E episodes."""
        self.frames.append(frames[: self.episodes])
        self.actions.append(actions[: self.episodes])
        self.positions.append(self._of(info, "position"))

    def stacked(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Frames, actions, positions and goals, as ``Episodes`` has them."""
        actions = torch.stack(self.actions, dim=1) if self.actions else torch.zeros(self.episodes, 0, 0)
        return torch.stack(self.frames, dim=1), actions, torch.stack(self.positions, dim=1), self.goal

    def _of(self, info: Mapping[str, Any], name: str) -> Tensor:
        found = torch.as_tensor(info[name]) if name in info else torch.zeros(self.episodes, 0)
        return found[: self.episodes].float().clone()
