# B batch, M target blocks, Kc Kt kept tokens, D encoder width, d predictor width, N tokens, L levels
"""The predictor: from context tokens and target positions to target representations.

Source: I-JEPA (arXiv 2301.08243), section 3 and appendix A.1; V-JEPA (arXiv 2404.08471); V-JEPA 2 (arXiv 2506.09985);
V-JEPA 2.1 (arXiv 2603.14482).
"""

from collections.abc import Sequence
from typing import Literal, cast, get_args

import torch
from torch import Tensor, nn

from jepa_lightning.nn.init import init_weights
from jepa_lightning.nn.modality import add_modality, modality_embedding
from jepa_lightning.nn.pos_embed import sincos_pos_embed
from jepa_lightning.nn.rope import RopeStyle, rope_table, take_positions
from jepa_lightning.nn.tokens import take_tokens
from jepa_lightning.nn.transformer_block import build_blocks, run_block

PredictorAttention = Literal["full", "shared"]


class Predictor(nn.Module):
    """A narrow transformer that fills in target blocks, each on its own, all blocks of the batch in one pass.

    Its last block computes the targets alone, from keys and values of all tokens.

    Args:
        grid_size: tokens along each axis of the encoder's grid.
        encoder_width: D.
        width: d.
        depth: number of blocks.
        heads: attention heads per block; the reference takes the encoder's.
        legacy_init: initialize all weights from N(0, 0.02); False also scales output projections with depth.
        gradient_checkpointing: recompute each block in the backward pass.
        out_width: width of the predictions; None takes L * D.
        num_mask_tokens: V-JEPA has a mask token for each kind of mask, which start at 0; None is I-JEPA's single one.
        pos_order: order of the axes in the channels of an image's sin-cos table, "wh" or "hw"; see
            ``sincos_pos_embed``.
        pos_uniform: give each axis of a clip's sin-cos table an equal number of channels.
        rope: style of rotary positions, which replace the sin-cos table; None has none. See ``rope_table``.
        rope_grid: rows and columns that rotary positions are spread over, whatever the grid; see ``rope_table``.
        num_levels: L, levels of the encoder that lie side by side in the context; more than one are fused to D by a
            layer with GELU first.
        context_head: have a second head, ``predictor_proj_context``, for the context tokens.
        images: have an embedding of each modality, images and clips, that is added to all tokens.
        attention: ``full``, the papers': the context is computed again with the mask tokens of each target block.
            ``shared``: context tokens do not see mask tokens, and are computed once for all blocks. Parameters are the
            same.
        norm_eps: eps of all layer norms.

    Raises:
        ValueError: if the width is not a multiple of the heads, or there is no such attention.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import Predictor
        >>> predictor = Predictor((6, 6), encoder_width=192, width=96, depth=1, heads=3)
        >>> seen, wanted = torch.tensor([[0, 1, 2]]), torch.tensor([[[20, 21], [28, 34]]])  # [B, Kc], [B, M, Kt]
        >>> predictor(torch.rand(1, 3, 192), seen, wanted).shape
        torch.Size([1, 2, 2, 192])
    """

    def __init__(
        self,
        grid_size: Sequence[int],
        encoder_width: int,
        width: int = 384,
        depth: int = 6,
        heads: int = 12,
        legacy_init: bool = True,
        gradient_checkpointing: bool = False,
        out_width: int | None = None,
        num_mask_tokens: int | None = None,
        pos_order: str | None = None,
        pos_uniform: bool = False,
        rope: RopeStyle | None = None,
        rope_grid: int | None = None,
        num_levels: int = 1,
        context_head: bool = False,
        images: bool = False,
        attention: PredictorAttention = "full",
        norm_eps: float = 1e-6,
    ) -> None:
        super().__init__()
        if attention not in get_args(PredictorAttention):
            raise ValueError(f"there is no predictor_attention '{attention}': choose full or shared.")
        if context_head and attention == "shared":
            raise ValueError("predictor_attention 'shared' has no loss on the context: set context_loss to 0.")
        if width % heads:
            raise ValueError(
                f"predictor width {width} is not a multiple of its heads {heads}: set predictor_heads to a divisor."
            )
        self.grid_size = tuple(grid_size)
        # the order of the parameters is that of I-JEPA's reference, which its saved optimizer states rely on
        if num_mask_tokens is None:
            self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        else:
            self.mask_tokens = nn.ParameterList(torch.zeros(1, 1, width) for _ in range(num_mask_tokens))
        self.single, self.images = num_mask_tokens is None, images
        self.rope, self.attention = rope, attention
        if images:
            self.img_mod_embed, self.video_mod_embed = modality_embedding(width), modality_embedding(width)
        if rope is None:
            table = sincos_pos_embed(width, grid_size, order=pos_order, uniform=pos_uniform)
            self.register_buffer("predictor_pos_embed", table[None])
        else:
            table = rope_table(grid_size, width // heads, rope, rope_grid)
            self.register_buffer("rope_table", table, persistent=False)
        self.predictor_pos_embed: Tensor
        self.rope_table: Tensor
        self.predictor_embed = _embedding(encoder_width, num_levels, width)
        self.predictor_blocks = build_blocks(width, depth, heads, eps=norm_eps)
        self.predictor_norm = nn.LayerNorm(width, eps=norm_eps)
        self.out_width = out_width or num_levels * encoder_width
        self.predictor_proj = nn.Linear(width, self.out_width)
        if context_head:
            self.predictor_proj_context = nn.Linear(width, self.out_width)
        self.gradient_checkpointing = gradient_checkpointing
        init_weights(self, self.predictor_blocks, scale_depth=not legacy_init)
        if self.single:
            nn.init.normal_(self.mask_token, std=0.02)

    def forward(
        self,
        context: Tensor,
        context_index: Tensor,
        target_index: Tensor,
        mask_index: int = 0,
        with_context: bool = False,
        image: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Predicts every target block from the context alone.

        Args:
            context: ``[B, Kc, L * D]`` encoded context tokens.
            context_index: int64 ``[B, Kc]``, where they stand in the grid.
            target_index: int64 ``[B, M, Kt]``, where the targets stand.
            mask_index: the kind of mask, where each has its own mask token.
            with_context: predict the context tokens too, by the second head, beside each block.
            image: whether the tokens are of images, where there is an embedding of each modality.

        Returns:
            ``[B, M, Kt, L * D]`` predicted representations, or of ``out_width``; with the context's ``[B, M, Kc, ...]``
            as a second one where they are asked for.
        """
        batch, num_blocks, num_targets = target_index.shape
        known, wanted = self.predictor_embed(context), self._mask_token(mask_index)
        wanted = wanted.to(known.dtype).expand(batch, num_blocks * num_targets, -1)
        if self.rope is None:
            positions = self.predictor_pos_embed.expand(batch, -1, -1)
            known = known + take_tokens(positions, context_index)
            wanted = wanted + take_tokens(positions, target_index.flatten(1))
        if self.attention == "shared":  # a row per sample
            rows, places = torch.cat([known, wanted], 1), torch.cat([context_index, target_index.flatten(1)], 1)
            groups, last = (num_blocks, num_targets), num_blocks * num_targets
        else:  # a row per block: blocks never see each other's mask tokens
            rows = _rows(known, wanted.reshape(batch * num_blocks, num_targets, -1))
            places, groups, last = _rows(context_index, target_index.flatten(0, 1)), None, num_targets
        if self.images:
            rows = add_modality(rows, image, self.img_mod_embed, self.video_mod_embed)
        table = None if self.rope is None else take_positions(self.rope_table, places)
        for i, block in enumerate(self.predictor_blocks, start=1):
            cut = last if i == len(self.predictor_blocks) and not with_context else None
            rows = run_block(block, rows, table, self.gradient_checkpointing, last=cut, groups=groups)
        rows = self.predictor_norm(rows)
        predicted = self.predictor_proj(rows[:, -last:]).reshape(batch, num_blocks, num_targets, -1)
        if not with_context:
            return cast(Tensor, predicted)
        return predicted, self.predictor_proj_context(rows[:, :-last]).reshape(batch, num_blocks, -1, self.out_width)

    def _mask_token(self, index: int) -> Tensor:
        """The mask token of a kind, ``[1, 1, d]``."""
        if self.single:
            return self.mask_token
        token = cast(Tensor, self.mask_tokens[index])
        # images have a kind of their own: all parameters have gradients in every step, which DDP and FSDP wait for
        return token + 0.0 * torch.stack(list(self.mask_tokens)).sum(dim=0) if self.images else token


def _embedding(encoder_width: int, num_levels: int, width: int) -> nn.Module:
    """What takes L levels side by side, ``L * D``, to d."""
    if num_levels == 1:
        return nn.Linear(encoder_width, width)
    fused = nn.Linear(num_levels * encoder_width, encoder_width)
    return nn.Sequential(fused, nn.GELU(), nn.Linear(encoder_width, width))


def _rows(context: Tensor, targets: Tensor) -> Tensor:
    """Puts the context of each sample, ``[B, Kc, ...]``, before each of its M targets, ``[B * M, Kt, ...]``."""
    return torch.cat([context.repeat_interleave(len(targets) // len(context), dim=0), targets], dim=1)
