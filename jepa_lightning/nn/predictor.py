# B batch, M target blocks, Kc Kt kept tokens, D encoder width, d predictor width, N tokens
"""The I-JEPA predictor: from context tokens and target positions to target representations.

Source: arXiv 2301.08243, section 3 and appendix A.1.
"""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jepa_lightning.nn.init import init_weights
from jepa_lightning.nn.pos_embed import sincos_pos_embed
from jepa_lightning.nn.tokens import take_tokens


class Predictor(nn.Module):
    """A narrow transformer that fills in target blocks, each on its own, all blocks of the batch in one pass.

    Args:
        grid_size: tokens along each axis of the encoder's grid.
        encoder_width: D.
        width: d.
        depth: number of blocks.
        heads: attention heads per block; the reference takes the encoder's.
        legacy_init: as in the encoder.
        gradient_checkpointing: recompute each block in the backward pass.
        out_width: of what is predicted; None is D.

    Raises:
        ValueError: if the width is not a multiple of the heads.
    """

    def __init__(
        self,
        grid_size: Sequence[int],
        encoder_width: int,
        width: int = 384,
        depth: int = 6,
        heads: int = 12,
        legacy_init: bool = False,
        gradient_checkpointing: bool = False,
        out_width: int | None = None,
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(
                f"predictor width {width} is not a multiple of its heads {heads}: set predictor_heads to a divisor."
            )
        # the order of the parameters is the reference's, which its saved optimizer states rely on
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        self.register_buffer("predictor_pos_embed", sincos_pos_embed(width, grid_size)[None])
        self.predictor_pos_embed: Tensor
        self.predictor_embed = nn.Linear(encoder_width, width)
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.predictor_blocks = nn.ModuleList(
            Block(width, heads, qkv_bias=True, norm_layer=norm)  # type: ignore[arg-type]
            for _ in range(depth)
        )
        self.predictor_norm = norm(width)
        self.predictor_proj = nn.Linear(width, out_width or encoder_width)
        self.gradient_checkpointing = gradient_checkpointing
        init_weights(self, self.predictor_blocks, legacy=legacy_init)
        nn.init.normal_(self.mask_token, std=0.02)

    def forward(self, context: Tensor, context_index: Tensor, target_index: Tensor) -> Tensor:
        """Predicts every target block from the context alone.

        Args:
            context: ``[B, Kc, D]`` encoded context tokens.
            context_index: int64 ``[B, Kc]``, where they stand in the grid.
            target_index: int64 ``[B, M, Kt]``, where the targets stand.

        Returns:
            ``[B, M, Kt, D]`` predicted representations, or of ``out_width``.
        """
        batch, num_blocks, num_targets = target_index.shape
        positions = self.predictor_pos_embed.expand(batch, -1, -1)
        known = self.predictor_embed(context) + take_tokens(positions, context_index)
        wanted = self.mask_token + take_tokens(positions, target_index.flatten(1))
        # a row per block: blocks never see each other's mask tokens
        rows = torch.cat(
            [known.repeat_interleave(num_blocks, dim=0), wanted.reshape(batch * num_blocks, num_targets, -1)], dim=1
        )
        for block in self.predictor_blocks:
            if self.gradient_checkpointing and torch.is_grad_enabled():
                rows = checkpoint(block, rows, use_reentrant=False)
            else:
                rows = block(rows)
        predicted = self.predictor_proj(self.predictor_norm(rows[:, -num_targets:]))
        return cast(Tensor, predicted.reshape(batch, num_blocks, num_targets, -1))
