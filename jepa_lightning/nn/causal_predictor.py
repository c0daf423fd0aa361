# B batch, T frames, D width, A numbers of an action
"""The predictor of compact states by a causal transformer under actions.

Source: LeWorldModel, arXiv 2603.19312.
"""

import torch
from torch import Tensor, nn

from jepa_lightning.nn.action_encoder import action_encoder
from jepa_lightning.nn.adaln_block import AdaLNBlock, frame_mask
from jepa_lightning.nn.key_values import KeyValues, check_one_at_a_time


class CausalPredictor(nn.Module):
    """A transformer over the states of a few frames, with learned positions and blocks under AdaLN-zero.

    Args:
        width: D.
        action_size: A.
        window: number of frames that a prediction looks at.
        depth: number of blocks.
        heads: of the attention.
        head_width: width of each; in all they may be wider than D.
        hidden: width of the MLPs.
        dropout: share set to 0 in training.

    Attributes:
        reach: number of frames that a prediction depends on: the window.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import CausalPredictor
        >>> predictor = CausalPredictor(48, action_size=2, depth=1, heads=2, head_width=16, hidden=64)
        >>> predictor(torch.rand(2, 5, 48), torch.rand(2, 5, 2)).shape
        torch.Size([2, 5, 48])
    """

    def __init__(
        self,
        width: int,
        action_size: int,
        window: int = 3,
        depth: int = 6,
        heads: int = 16,
        head_width: int = 64,
        hidden: int = 2048,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.window = self.reach = window
        self.positions = nn.Parameter(torch.randn(window, width))
        self.actions = action_encoder(action_size, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(AdaLNBlock(width, heads, head_width, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def memory(self, frames: int) -> list[KeyValues] | None:
        """What a rollout keeps from step to step, one for each block.

        Args:
            frames: those that it looks at in all.

        Returns:
            None where they are more than the window: as it slides, each state moves to another position.
        """
        return [KeyValues(self.window) for _ in self.blocks] if frames <= self.window else None

    def forward(self, states: Tensor, actions: Tensor, memory: list[KeyValues] | None = None) -> Tensor:
        """What follows each frame, from the frames before it within the window.

        Args:
            states: ``[B, T, D]``; with a memory that holds frames, the one that comes next.
            actions: ``[B, T, A]``, taken at these frames.
            memory: of ``memory``; it is extended by these frames.

        Returns:
            ``[B, T, D]``, the states of the frames after.

        Raises:
            ValueError: if a memory that holds frames is given more than one.
        """
        further = states.shape[1] - self.window
        if further <= 0:
            return self._within(states, actions, memory)
        # each further frame is the last one of a window of its own
        batch, first = len(states), self._within(states[:, : self.window], actions[:, : self.window])
        windows = [each[:, 1:].unfold(1, self.window, 1).transpose(2, 3).flatten(0, 1) for each in (states, actions)]
        last = self._within(windows[0], windows[1])[:, -1]
        return torch.cat([first, last.view(batch, further, -1)], dim=1)

    def _within(self, states: Tensor, actions: Tensor, memory: list[KeyValues] | None = None) -> Tensor:
        """``forward`` for no more frames than the window has."""
        frames, past = states.shape[1], memory[0].seen if memory else 0
        check_one_at_a_time(past, frames)
        x = self.drop(states + self.positions[past : past + frames])[:, :, None]
        condition = self.actions(actions)[:, :, None]
        mask = None if past else frame_mask(frames, 1, self.window, x.device)
        for index, block in enumerate(self.blocks):
            x = block(x, condition, mask, memory=memory[index] if memory else None)
        following: Tensor = self.norm(x[:, :, 0])
        return following
