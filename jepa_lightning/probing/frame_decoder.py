# B frames, N tokens of a frame, D width, C channels, H W height and width, h w the token grid
"""A small network that draws a frame from what a module makes of it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.probing.heads import ProbeHeads

START = (4, 4)  # grid that a single vector is spread over
WIDTHS = (64, 48, 32, 24, 16)  # of feature maps, each twice as high and wide as the one before
LARGEST = 64  # side of a feature map from which an image is only enlarged


class FrameDecoder(ProbeHeads):
    """Tokens of frames, on their grid, to pixels: convolutions between enlargements by two.

    Args:
        width: D.
        tokens: N; 1 is a vector that says all about a frame.
        grid: (h, w) of the tokens, N of them.
        shape: (C, H, W) of the frames.
    """

    least = 2  # a single sample has no variance to normalize by

    def __init__(self, width: int, tokens: int, grid: tuple[int, int], shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.width, self.shape = width, shape
        self.options = {"tokens": tokens, "channels": shape[0], "height": shape[1], "image width": shape[2]}
        self.grid = START if tokens == 1 else grid
        self.norm = nn.BatchNorm1d(width, eps=1e-6, affine=False)
        places = START[0] * START[1] if tokens == 1 else 1
        self.spread = nn.Linear(width, places * WIDTHS[0])
        side, blocks = max(self.grid), list[nn.Module]()
        for before, after in pairwise(WIDTHS):
            if side >= min(LARGEST, max(shape[1:])):
                break
            side *= 2
            blocks += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, padding=1), nn.GELU()]
        self.blocks = nn.Sequential(*blocks)
        last = next((block.out_channels for block in reversed(blocks) if isinstance(block, nn.Conv2d)), WIDTHS[0])
        self.pixels = nn.Conv2d(last, shape[0], 3, padding=1)

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """``[B, N, D]`` to pixels ``[B, C * H * W]``, of one variant and one label."""
        found = self.spread(self.norm(features.flatten(0, 1)))
        maps = found.reshape(len(features), *self.grid, WIDTHS[0]).permute(0, 3, 1, 2)
        enlarged = F.interpolate(self.blocks(maps), self.shape[1:], mode="bilinear")
        return [[self.pixels(enlarged).flatten(1)]]

    def average_gradients(self, counts: Tensor) -> None:
        """Divides by the number of frames."""
        for parameter in self.parameters():
            cast(Tensor, parameter.grad).div_(counts[0].clamp(min=1))

    def statistics(self) -> Sequence[Tensor]:
        """Those of the norm."""
        return cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
