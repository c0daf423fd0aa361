# B batch, C channels, T H W frames, height, width, N tokens, D width, p side of a patch
"""How the pixels of a patch become a token."""

import math
from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.nn.patch_projection import PatchConv2d, PatchConv3d, cut

PatchEmbedding = Literal["linear", "convolutional"]
MEAN_SQUARE = 0.4252  # of GELU of a standard normal variable, which is what a norm leaves


class PatchEmbed(nn.Module):
    """Cuts ``[B, C, H, W]`` into patches, or ``[B, C, T, H, W]`` into tubelets, and projects them to ``[B, N, D]``.

    Tokens run over frames, then rows, then columns. ``proj`` may be any network from pixels to ``[B, D, (t,) h, w]``.
    """

    def __init__(self, patch: Sequence[int], in_channels: int, width: int) -> None:
        super().__init__()
        conv = PatchConv2d if len(patch) == 2 else PatchConv3d
        self.proj = conv(in_channels, width, kernel_size=tuple(patch), stride=tuple(patch))  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Projects patches: ``[B, C, (T,) H, W]`` to ``[B, N, D]``."""
        tokens: Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return tokens


class ConvPatchEmbed(nn.Module):
    """Two convolutions of 3 x 3 within each patch, before its projection.

    Convolutions before the first block make transformers easier to train (early convolutions, arXiv 2106.14881). That
    paper's run over the whole image. These are padded at the border of each patch and see no pixel of another, so that
    nothing of a masked patch reaches the others; for the same reason norms are of one patch, not of a batch. A norm of
    a patch takes its contrast away, so the pixels themselves are projected beside the channels. Where both sides are
    even, the first convolution has a stride of 2: the embedding then takes a half to a quarter of the time, and
    handwriting is learned as well (``configs/ijepa/small.yaml``).

    Args:
        patch: rows and columns of a patch in pixels.
        in_channels: C.
        width: D.
        channels: of each convolution.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import ConvPatchEmbed
        >>> ConvPatchEmbed((4, 4), in_channels=3, width=48)(torch.zeros(2, 3, 32, 64)).shape
        torch.Size([2, 128, 48])
    """

    def __init__(self, patch: Sequence[int], in_channels: int, width: int, channels: int = 32) -> None:
        super().__init__()
        self.patch = tuple(patch)
        self.stride = 1 if any(side % 2 for side in patch) else 2
        self.pixels = in_channels * self.stride**2  # of a place, among the channels that are projected
        self.layers = nn.Sequential(
            nn.Conv2d(in_channels, channels, 3, self.stride, padding=1), nn.GroupNorm(1, channels), nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1), nn.GroupNorm(1, channels), nn.GELU(),
        )  # fmt: skip
        # a linear layer, in the form and under the name of the linear embedding's, for `init_weights`
        places = (patch[0] // self.stride, patch[1] // self.stride)
        self.proj = nn.Conv2d(self.pixels + channels, width, kernel_size=places)

    def scale_as_linear_(self) -> None:
        """Makes tokens start at the scale of a linear embedding whose weights have the same deviation.

        Otherwise the channels of the convolutions make them twice as large, and positions weigh half as much.
        """
        channels = self.proj.in_channels - self.pixels
        self.proj.weight.data.mul_(math.sqrt(self.pixels / (self.pixels + MEAN_SQUARE * channels)))

    def forward(self, x: Tensor) -> Tensor:
        """Images ``[B, C, H, W]`` to tokens ``[B, N, D]``, over rows, then columns."""
        grid = cut(x, self.patch)
        patches = grid.flatten(0, 2)  # [B * N, C, p, p]
        # what pixel_unshuffle gives, whose shape is wrong for an empty batch
        cells = cut(patches, (self.stride, self.stride)).permute(0, 3, 4, 5, 1, 2).flatten(1, 3)
        places = torch.cat([cells, self.layers(patches)], dim=1)
        # a convolution of one place a patch gives the same, and was four to six times as slow in bfloat16 on a CPU
        tokens = F.linear(places.flatten(1), self.proj.weight.flatten(1), self.proj.bias)
        return tokens.view(grid.shape[0], grid.shape[1] * grid.shape[2], tokens.shape[1])


def is_linear(embed: nn.Module) -> bool:
    """Whether tokens are made by a linear layer of patches, as in the formats of others."""
    proj = embed.proj if isinstance(embed, PatchEmbed) else None
    return isinstance(proj, nn.Conv2d | nn.Conv3d) and proj.stride == proj.kernel_size


def build_patch_embed(kind: PatchEmbedding, patch: Sequence[int], in_channels: int, width: int) -> nn.Module:
    """The patch embedding of an encoder.

    Args:
        kind: ``linear`` or ``convolutional``.
        patch: rows and columns of a patch in pixels; for clips the frames of a tubelet before them.
        in_channels: C.
        width: D.

    Raises:
        ValueError: if there is no such kind, or it is not for clips.
    """
    if kind not in get_args(PatchEmbedding):
        raise ValueError(f"there is no patch_embedding '{kind}': choose one of {', '.join(get_args(PatchEmbedding))}.")
    if kind == "linear":
        return PatchEmbed(patch, in_channels, width)
    if len(patch) != 2:
        raise ValueError(
            f"patch_embedding={kind} is for encoders of images, and this one is of clips: leave it out, or set "
            "num_frames=1."
        )
    return ConvPatchEmbed(patch, in_channels, width)
