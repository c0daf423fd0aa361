# B batch, C channels, H W height and width, N tokens, D width
"""A Vision Transformer that is read at a class token."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from jepa_lightning.nn.levels import block_indices
from jepa_lightning.nn.pos_embed import grid_size
from jepa_lightning.nn.transformer_block import run_block
from jepa_lightning.nn.vit import VisionTransformer


class ClassTokenViT(VisionTransformer):
    """A Vision Transformer with one more, learned token, which alone comes out: ``[B, C, H, W]`` to ``[B, 1, D]``.

    Args:
        image_size: height and width.
        patch_size: side of a patch in pixels.
        width: D.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of the MLP over D.
        in_channels: C.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import ClassTokenViT
        >>> ClassTokenViT((32, 32), patch_size=8, width=48, depth=1, heads=3)(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 1, 48])
    """

    def __init__(
        self,
        image_size: Sequence[int],
        patch_size: int,
        width: int,
        depth: int,
        heads: int,
        mlp_ratio: float = 4.0,
        in_channels: int = 3,
    ) -> None:
        super().__init__(image_size, patch_size, width, depth, heads, mlp_ratio, in_channels)
        self.class_token = nn.Parameter(0.02 * torch.randn(1, 1, width))

    def forward(
        self, x: Tensor, keep: Tensor | None = None, layers: Sequence[int] | None = None
    ) -> Tensor | list[Tensor]:
        """Encodes images; as in ``VisionTransformer``, where ``keep`` must be None."""
        if keep is not None:
            raise ValueError("the class token is read from the whole image: leave keep out.")
        tokens = self.patch_embed(x) + self._positions(grid_size(x.shape[2:], self.patch))
        tokens = torch.cat([self.class_token.expand(len(x), -1, -1), tokens], dim=1)
        wanted = block_indices(layers or (), len(self.blocks))
        taken: dict[int, Tensor] = {}
        for i, block in enumerate(self.blocks):
            tokens = run_block(block, tokens, None, self.gradient_checkpointing)
            if i in wanted:
                taken[i] = self.norm(tokens[:, :1])
        if layers is not None:
            return [taken[i] for i in wanted]
        normed: Tensor = self.norm(tokens[:, :1])
        return normed
