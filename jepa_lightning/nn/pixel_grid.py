# B batch, C channels, H W height and width, h w rows and columns that are kept, D width
"""An encoder without weights: pixels themselves, on a coarser grid."""

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.nn.image_checks import check_sizes


class PixelGrid(nn.Module):
    """An image as one vector of its pixels, each the mean of an area: a baseline for what an encoder learns.

    A world model of it predicts in pixel space, with a predictor of the size that D gives, so that choosing the grid
    makes it as large as the model it is compared with.

    Args:
        in_channels: C.
        grid: h and w.

    Attributes:
        width: D, which is C h w.
        grid_size: rows and columns of tokens, of which there is one.

    Raises:
        ValueError: if a number is out of its range, or the grid has not two of them.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import PixelGrid
        >>> PixelGrid(2, grid=(8, 8))(torch.rand(4, 2, 65, 65)).shape
        torch.Size([4, 1, 128])
    """

    def __init__(self, in_channels: int, grid: Sequence[int] = (8, 8)) -> None:
        super().__init__()
        check_sizes(type(self).__name__, "in_channels", [in_channels])
        check_sizes(type(self).__name__, "grid", grid)
        if len(grid) != 2:
            raise ValueError(f"PixelGrid: grid={list(grid)} has {len(grid)} numbers: give two, rows and columns.")
        self.in_channels, self.pixels = in_channels, tuple(grid)
        self.width, self.grid_size = in_channels * self.pixels[0] * self.pixels[1], (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Encodes images ``[B, C, H, W]`` to ``[B, 1, D]``."""
        return F.adaptive_avg_pool2d(x, cast(tuple[int, int], self.pixels)).flatten(1)[:, None]
