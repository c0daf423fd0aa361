# B batch, C channels, T H W frames, height, width, N tokens, K kept tokens, D width
"""One Vision Transformer for images and clips, with the state-dict names of the reference and of timm.

Source: I-JEPA (arXiv 2301.08243), V-JEPA (arXiv 2404.08471), V-JEPA 2 (arXiv 2506.09985) and 2.1 (arXiv 2603.14482).
"""

import difflib
import math
from collections.abc import Sequence
from typing import NamedTuple

from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor, nn

from jepa_lightning.nn.init import init_weights
from jepa_lightning.nn.levels import block_indices, level_indices, level_norms
from jepa_lightning.nn.modality import add_modality, embed_patches, is_image, modality_embedding
from jepa_lightning.nn.patch_embed import PatchEmbed, PatchEmbedding, build_patch_embed
from jepa_lightning.nn.pos_embed import grid_size, sincos_pos_embed
from jepa_lightning.nn.registers import append_registers, register_tokens
from jepa_lightning.nn.rope import RopeStyle, rope_table, take_positions
from jepa_lightning.nn.tokens import take_tokens
from jepa_lightning.nn.transformer_block import build_blocks, run_block


class ViTSize(NamedTuple):
    """Width, depth, heads and MLP ratio of a named encoder.

    Example:
        >>> from jepa_lightning.nn import VIT_SIZES
        >>> VIT_SIZES["vit_base"]
        ViTSize(width=768, depth=12, heads=12, mlp_ratio=4.0)
    """

    width: int
    depth: int
    heads: int
    mlp_ratio: float = 4.0


VIT_SIZES = {
    "vit_tiny": ViTSize(192, 12, 3),
    "vit_small": ViTSize(384, 12, 6),
    "vit_base": ViTSize(768, 12, 12),
    "vit_large": ViTSize(1024, 24, 16),
    "vit_huge": ViTSize(1280, 32, 16),
    "vit_giant": ViTSize(1408, 40, 16, 48 / 11),
    "vit_giant_xformers": ViTSize(1408, 40, 22, 48 / 11),  # ViT-g of V-JEPA 2, with heads of width 64
    # the reference's misspelt keyword left its gigantic at ratio 4; the paper's 64/13 is meant
    "vit_gigantic": ViTSize(1664, 48, 16, 64 / 13),
    "vit_gigantic_xformers": ViTSize(1664, 48, 26, 64 / 13),  # ViT-G of V-JEPA 2.1, with heads of width 64
}


def vit_size(name: str, *, width: int | None = None, depth: int | None = None, heads: int | None = None) -> ViTSize:
    """A named size, with what is overridden.

    Args:
        name: one of ``VIT_SIZES``.
        width: of the tokens; None has that of the size.
        depth: number of blocks; None has that of the size.
        heads: attention heads per block; None has those of the size.

    Raises:
        ValueError: if there is no such size.
    """
    if name not in VIT_SIZES:
        near = difflib.get_close_matches(name, VIT_SIZES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"choose one of {', '.join(VIT_SIZES)}."
        raise ValueError(f"there is no encoder '{name}': {hint}")
    size = VIT_SIZES[name]
    return size._replace(width=width or size.width, depth=depth or size.depth, heads=heads or size.heads)


class VisionTransformer(nn.Module):
    """Pre-norm Vision Transformer without class token: fixed positions, all tokens normed at the end.

    Args:
        image_size: height and width, or one number for both; the image may be rectangular.
        patch_size: side of a patch in pixels.
        width: D.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of the MLP over D.
        in_channels: C.
        num_frames: T; above 1 the input is ``[B, C, T, H, W]``.
        tubelet_size: frames per token.
        drop_path: stochastic depth rate of the last block; rises linearly from 0.
        legacy_init: draw all weights from N(0, 0.02), as the reference effectively does; False adds both parts of
            ``init_weights``.
        gradient_checkpointing: recompute each block in the backward pass.
        pos_order: order of the axes in the channels of an image's sin-cos table, "wh" or "hw"; see
            ``sincos_pos_embed``.
        pos_uniform: give each axis of a clip's sin-cos table an equal number of channels.
        rope: style of rotary positions, which replace the sin-cos table; None has none. See ``rope_table``.
        rope_grid: rows and columns that rotary positions are spread over, whatever the grid; see ``rope_table``.
        levels: blocks, negative ones from the end, that have a norm of their own, ``norms_block``, when ``layers`` asks
            for them; they rise, and the norm of the last one, the last block, is the final norm. None has ``norm``.
        images: have a second patch embedding, for images beside clips, and an embedding of each modality that is added
            to its tokens; a clip of one frame is an image.
        norm_eps: eps of all layer norms.
        registers: learned tokens beside those of the patches, which are in no output; see ``nn.registers``.
        patch_embedding: ``linear``, or ``convolutional`` for images, see ``ConvPatchEmbed``.

    Raises:
        ValueError: if the patch does not divide the image, the width is not a multiple of the heads, the levels are
            none of this encoder, an encoder of images alone is to have ``images``, or one of clips convolutions.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import VisionTransformer
        >>> encoder = VisionTransformer(48, patch_size=8, depth=2)
        >>> images, keep = torch.rand(2, 3, 48, 48), torch.tensor([[0, 1, 7], [2, 3, 9]])
        >>> encoder(images).shape, encoder(images, keep=keep).shape  # [B, N, D], [B, K, D]
        (torch.Size([2, 36, 192]), torch.Size([2, 3, 192]))
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 224,
        patch_size: int = 16,
        width: int = 192,
        depth: int = 12,
        heads: int = 3,
        mlp_ratio: float = 4.0,
        in_channels: int = 3,
        num_frames: int = 1,
        tubelet_size: int = 2,
        drop_path: float = 0.0,
        legacy_init: bool = True,
        gradient_checkpointing: bool = False,
        pos_order: str | None = None,
        pos_uniform: bool = False,
        rope: RopeStyle | None = None,
        rope_grid: int | None = None,
        levels: Sequence[int] | None = None,
        images: bool = False,
        norm_eps: float = 1e-6,
        registers: int = 0,
        patch_embedding: PatchEmbedding = "linear",
    ) -> None:
        super().__init__()
        if heads < 1 or width % heads:
            raise ValueError(f"width {width} is not a multiple of heads {heads}: choose heads that divide the width.")
        video = num_frames > 1
        self.width = width
        self.patch = (tubelet_size, patch_size, patch_size) if video else (patch_size, patch_size)
        size = (image_size, image_size) if isinstance(image_size, int) else tuple(image_size)
        self.input_size = (num_frames, *size) if video else size
        self.grid_size = grid_size(self.input_size, self.patch)
        self.patch_embed = build_patch_embed(patch_embedding, self.patch, in_channels, width)
        self.images = images
        if images:
            if not video:
                raise ValueError(
                    "an encoder of images alone has one patch embedding: images=True needs num_frames > 1."
                )
            self.patch_embed_img = PatchEmbed((1, patch_size, patch_size), in_channels, width)
            self.img_mod_embed, self.video_mod_embed = modality_embedding(width), modality_embedding(width)
        self.rope, self.rope_grid, self.head_width = rope, rope_grid, width // heads
        if rope is None:
            table = sincos_pos_embed(width, self.grid_size, order=pos_order, uniform=pos_uniform)
            self.register_buffer("pos_embed", table[None])
        else:
            # follows from the options, so it is not saved
            table = rope_table(self.grid_size, self.head_width, rope, rope_grid)
            self.register_buffer("rope_table", table, persistent=False)
        self.pos_embed: Tensor
        self.rope_table: Tensor
        self.blocks = build_blocks(width, depth, heads, mlp_ratio, drop_path, norm_eps)
        self.levels = None if levels is None else level_indices(levels, depth)
        if self.levels is None:
            self.norm = nn.LayerNorm(width, eps=norm_eps)
        else:
            self.norms_block = level_norms(width, len(self.levels), norm_eps)
        self.gradient_checkpointing = gradient_checkpointing
        init_weights(self, self.blocks, scale_patches=not legacy_init, scale_depth=not legacy_init)
        self.reg_token = register_tokens(registers, width)  # last, so that all other weights are drawn as without

    def forward(
        self, x: Tensor, keep: Tensor | None = None, layers: Sequence[int] | None = None
    ) -> Tensor | list[Tensor]:
        """Encodes the kept tokens.

        Args:
            x: ``[B, C, H, W]`` or ``[B, C, T, H, W]``. At another size than the encoder is built for, sin-cos positions
                are interpolated, a shorter clip takes the first ones, and rotary positions are computed for the size.
                An encoder of clips repeats an image to fill one tubelet, unless it has an embedding for images.
            keep: int64 ``[B, K]`` token indices, gathered before the blocks; None keeps all N.
            layers: indices of blocks whose outputs are wanted, negative ones from the end.

        Returns:
            ``[B, K, D]`` after the final norm, or with ``layers`` a list of such, one a layer, in the order given;
            levels after their own norms. Registers are in none of them.

        Raises:
            ValueError: if the patch does not divide the input, or there is no such layer.
        """
        if x.ndim == 4 and len(self.patch) == 3:
            x = x.unsqueeze(2)
            x = x if self.images else x.expand(-1, -1, self.patch[0], -1, -1)
        grid = grid_size(x.shape[2:], (1, *self.patch[1:]) if self.images and is_image(x) else self.patch)
        tokens, table = self._embedded(x), None
        if self.rope is None:
            tokens = tokens + self._positions(grid)
        else:
            table = take_positions(self._rotations(grid), keep)
        if keep is not None:
            tokens = take_tokens(tokens, keep)
        number = tokens.shape[1]
        tokens, table = append_registers(tokens, table, self.extra_tokens(keep))
        wanted = block_indices(layers or (), len(self.blocks))
        taken: dict[int, Tensor] = {}
        for i, block in enumerate(self.blocks):
            tokens = run_block(block, tokens, table, self.gradient_checkpointing)
            if i in wanted:
                taken[i] = self._normed(tokens[:, :number], i)
        if layers is not None:
            return [taken[i] for i in wanted]
        return self._normed(tokens[:, :number], len(self.blocks) - 1)

    def extra_tokens(self, keep: Tensor | None) -> Tensor | None:
        """Tokens that take part in the attention and are in no output; override it for others than registers.

        Args:
            keep: int64 ``[B, K]`` indices of the tokens that are encoded; None for all.

        Returns:
            ``[1, P, D]`` for all samples or ``[B, P, D]``; None where there are none.
        """
        return self.reg_token

    def _embedded(self, x: Tensor) -> Tensor:
        """Tokens ``[B, N, D]`` of a view, with what tells images from clips where it has both."""
        if not self.images:
            tokens: Tensor = self.patch_embed(x)
            return tokens
        tokens = embed_patches(x, self.patch_embed, self.patch_embed_img, self.patch)
        return add_modality(tokens, is_image(x), self.img_mod_embed, self.video_mod_embed)

    def _normed(self, tokens: Tensor, block: int) -> Tensor:
        """The output of a block after the norm of its level, or else the final norm."""
        if self.levels is None:
            normed: Tensor = self.norm(tokens)
        else:
            normed = self.norms_block[self.levels.index(block) if block in self.levels else -1](tokens)
        return normed

    def _positions(self, grid: tuple[int, ...]) -> Tensor:
        """The position table ``[1, N, D]`` for a grid, interpolated where it is not the one built for."""
        if grid == self.grid_size:
            return self.pos_embed
        if len(grid) == 2:
            table: Tensor = resample_abs_pos_embed(
                self.pos_embed, list(grid), list(self.grid_size), num_prefix_tokens=0, antialias=False
            )
            return table
        frames, *space = grid
        if space == list(self.grid_size[1:]) and frames < self.grid_size[0]:
            return self.pos_embed[:, : math.prod(grid)]
        volume = self.pos_embed.transpose(1, 2).reshape(1, self.width, *self.grid_size)
        return nn.functional.interpolate(volume, size=grid, mode="trilinear").flatten(2).transpose(1, 2)

    def _rotations(self, grid: tuple[int, ...]) -> Tensor:
        """The rotary table ``[2, N, R]`` for a grid."""
        if grid == self.grid_size or self.rope is None:
            return self.rope_table
        return rope_table(grid, self.head_width, self.rope, self.rope_grid).to(self.rope_table.device)
