# N tokens of the grid, P places of a block, K tokens of a block
"""Every place that a block of one size can have on a grid."""

import math

import torch
from torch import Tensor

Size = tuple[int, int]


def block_tokens(grid: Size, size: Size) -> Tensor:
    """The tokens of each place: int64 ``[P, K]``, places and tokens in raster order."""
    tokens = torch.arange(math.prod(grid)).view(grid)
    return tokens.unfold(0, size[0], 1).unfold(1, size[1], 1).flatten(2).flatten(0, 1)


def block_cover(grid: Size, size: Size, order: Tensor) -> Tensor:
    """Which tokens each place covers: bool ``[P, N]``, places in raster order, tokens in the given ``[N]``."""
    rows, columns = (
        torch.ones(length - side + 1, length, dtype=torch.bool).triu().tril(side - 1)
        for length, side in zip(grid, size, strict=True)
    )
    return (rows[:, None, order // grid[1]] & columns[None, :, order % grid[1]]).flatten(0, 1)
