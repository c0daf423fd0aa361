# B batch, C channels, H W height and width, N tokens of the grid, K kept tokens, D width
"""A convolutional encoder that sees a part of an image."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from timm.layers.norm import LayerNorm2d
from timm.models.convnext import ConvNeXtBlock
from torch import Tensor, nn

from jepa_lightning.nn.pos_embed import grid_size
from jepa_lightning.nn.tokens import take_tokens


class MaskedConvNet(nn.Module):
    """ConvNeXt stages (arXiv 2201.03545) whose tokens are the places of the last feature map.

    Masked places are set to 0 in the image and after every block, so that nothing of them reaches a kept token. As in
    SparK (arXiv 2301.03580), with dense convolutions: a mask saves no computation. Two things differ from a
    transformer. Kept tokens at the border of the mask see zeros there, as at the border of an image. And without a
    mask the receptive field of a token covers many others, so the targets of masked places also hold what surrounds
    them, which makes them easier to predict from a context nearby.

    Args:
        image_size: height and width, or one number for both.
        in_channels: C.
        widths: channels of each stage; the last is D. Each stage after the first halves height and width.
        depths: blocks of each stage.
        stem: pixels per side of a place in the first stage.

    Attributes:
        grid_size: rows and columns of the last feature map.
        width: D.
        patch: height and width of a token in pixels, ``stem * 2 ** (len(widths) - 1)``.
        hparams: the arguments, which checkpoints hold.

    Raises:
        ValueError: if widths and depths differ in length, or a token does not divide the image.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import MaskedConvNet
        >>> encoder = MaskedConvNet(64, widths=(16, 32, 48), depths=(1, 1, 1))
        >>> encoder(torch.rand(2, 3, 64, 64), keep=torch.tensor([[0, 5], [3, 4]])).shape  # [B, K, D]
        torch.Size([2, 2, 48])
    """

    def __init__(
        self,
        image_size: int | Sequence[int] = 224,
        in_channels: int = 3,
        widths: Sequence[int] = (64, 128, 256),
        depths: Sequence[int] = (2, 2, 4),
        stem: int = 4,
    ) -> None:
        super().__init__()
        if len(widths) != len(depths) or not widths:
            raise ValueError(f"widths {tuple(widths)} and depths {tuple(depths)} must have a number for each stage.")
        rows, columns = (image_size, image_size) if isinstance(image_size, int) else image_size
        self.hparams = {
            "image_size": [rows, columns], "in_channels": in_channels, "widths": list(widths), "depths": list(depths),
            "stem": stem,
        }  # fmt: skip
        side = stem * 2 ** (len(widths) - 1)
        self.in_channels, self.width, self.patch = in_channels, widths[-1], (side, side)
        self.input_size, self.grid_size = (rows, columns), grid_size((rows, columns), self.patch)
        self.downsample = nn.ModuleList([nn.Conv2d(in_channels, widths[0], stem, stem)])
        for narrow, wide in pairwise(widths):
            self.downsample.append(nn.Sequential(LayerNorm2d(narrow), nn.Conv2d(narrow, wide, 2, 2)))
        self.stages = nn.ModuleList(
            nn.ModuleList(ConvNeXtBlock(width, width, ls_init_value=None) for _ in range(depth))
            for width, depth in zip(widths, depths, strict=True)
        )
        self.norm = nn.LayerNorm(self.width, eps=1e-6)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Encodes the kept tokens.

        Args:
            x: ``[B, C, H, W]``.
            keep: int64 ``[B, K]`` indices of tokens, over rows, then columns; None keeps all N.

        Returns:
            ``[B, K, D]``, each token normed.
        """
        grid = grid_size(x.shape[2:], self.patch)
        mask = None
        if keep is not None:
            mask = x.new_zeros(len(x), grid[0] * grid[1]).scatter_(1, keep, 1.0).view(-1, 1, *grid)
        x = _masked(x, mask)
        for downsample, blocks in zip(self.downsample, self.stages, strict=True):
            x = _masked(downsample(x), mask)
            for block in blocks:  # type: ignore[attr-defined]
                x = _masked(block(x), mask)
        tokens = x.flatten(2).transpose(1, 2)
        normed: Tensor = self.norm(tokens if keep is None else take_tokens(tokens, keep))
        return normed


def _masked(x: Tensor, mask: Tensor | None) -> Tensor:
    """Sets masked places to 0; ``mask`` is ``[B, 1, rows, columns]`` on a grid as fine or coarser."""
    if mask is None:
        return x
    factor = x.shape[-1] // mask.shape[-1]
    # chosen, not multiplied: what is not finite under the mask must not leak either
    fine = mask.repeat_interleave(factor, dim=2).repeat_interleave(factor, dim=3).bool()
    return torch.where(fine, x, 0)
