# B batch, T frames, N tokens of a frame, D width of the states, d width of the predictor, A numbers of an action
"""The predictor of the patch tokens of frames, causal from frame to frame.

Source: DINO-WM (arXiv 2411.04983), V-JEPA 2-AC (arXiv 2506.09985), and JEPA-WMs (arXiv 2512.24497), which found that
AdaLN with rotary positions takes actions best.
"""

import math

from torch import Tensor, nn

from jepa_lightning.nn.action_encoder import action_encoder
from jepa_lightning.nn.adaln_block import AdaLNBlock, frame_mask
from jepa_lightning.nn.key_values import KeyValues, check_one_at_a_time
from jepa_lightning.nn.rope import rope_table


class TokenPredictor(nn.Module):
    """A transformer over the tokens of frames: within a frame all see each other, and each sees the frames before.

    Positions are rotary over frames, rows and columns, and each block looks back over a window, so there is no longest
    rollout.

    Args:
        width: D.
        action_size: A.
        grid_size: rows and columns of the tokens of a frame.
        dim: d.
        window: number of frames, its own included, that a token looks at in each block.
        depth: number of blocks.
        heads: of the attention.
        head_width: width of each, at least 6.
        hidden: width of the MLPs.
        dropout: share set to 0 in training.

    Attributes:
        reach: number of frames that a prediction depends on, through all blocks: ``1 + depth * (window - 1)``.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import TokenPredictor
        >>> predictor = TokenPredictor(48, 2, grid_size=(4, 4), dim=32, depth=1, heads=2, head_width=16, hidden=64)
        >>> predictor(torch.rand(2, 5, 16, 48), torch.rand(2, 5, 2)).shape
        torch.Size([2, 5, 16, 48])
    """

    def __init__(
        self,
        width: int,
        action_size: int,
        grid_size: tuple[int, int],
        dim: int = 384,
        window: int = 3,
        depth: int = 6,
        heads: int = 16,
        head_width: int = 64,
        hidden: int = 2048,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.window, self.reach = window, 1 + depth * (window - 1)
        self.grid_size, self.head_width = grid_size, head_width
        self.tokens = math.prod(grid_size)
        self.embed = nn.Linear(width, dim)
        self.actions = action_encoder(action_size, dim)
        self.blocks = nn.ModuleList(AdaLNBlock(dim, heads, head_width, hidden, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(dim)
        self.proj = nn.Linear(dim, width)
        table = rope_table((window, *grid_size), head_width, "exact")
        self.register_buffer("rope_table", table, persistent=False)
        self.rope_table: Tensor

    def memory(self, frames: int) -> list[KeyValues] | None:
        """What a rollout of any number of frames keeps from step to step, one for each block."""
        return [KeyValues(self.window * self.tokens) for _ in self.blocks]

    def forward(self, states: Tensor, actions: Tensor, memory: list[KeyValues] | None = None) -> Tensor:
        """What follows each frame, from it and the frames before it.

        Args:
            states: ``[B, T, N, D]``; with a memory that holds frames, the one that comes next.
            actions: ``[B, T, A]``, taken at these frames.
            memory: of ``memory``; it is extended by these frames.

        Returns:
            ``[B, T, N, D]``, the tokens of the frames after.

        Raises:
            ValueError: if a memory that holds frames is given more than one.
        """
        frames, past = states.shape[1], memory[0].seen // self.tokens if memory else 0
        check_one_at_a_time(past, frames)
        mask = None if past else frame_mask(frames, self.tokens, self.window, states.device)
        table, condition = self._positions(past, frames), self.actions(actions)[:, :, None]
        x = self.embed(states)
        for index, block in enumerate(self.blocks):
            x = block(x, condition, mask, table, memory[index] if memory else None)
        following: Tensor = self.proj(self.norm(x))
        return following

    def _positions(self, past: int, frames: int) -> Tensor:
        """The rotary table of some frames behind others."""
        last = (past + frames) * self.tokens
        if self.rope_table.shape[1] < last:
            longer = rope_table((2 * (past + frames), *self.grid_size), self.head_width, "exact")
            self.rope_table = longer.to(self.rope_table.device)
        return self.rope_table[:, past * self.tokens : last]
