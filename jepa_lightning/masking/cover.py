# M target blocks, N tokens of the grid, Kc Kt kept tokens
"""Masks that together ask for every token of a grid, the same at every call: for looking at a whole input."""

from collections.abc import Sequence
from itertools import product
from math import ceil, prod

import torch
from torch import Tensor

from jepa_lightning.masking.sampler import MaskSampler
from jepa_lightning.types import Masks

TILE = 0.42  # side of a tile over that of the grid: its area is that of I-JEPA's targets, 0.15 to 0.2


def covering_masks(sampler: MaskSampler) -> list[Masks]:
    """Masks of one sample, in which each token of the sampler's grid is a target at least once.

    Samplers with a method ``cover()`` choose their own. Others have rectangular tiles, of which every other one is
    masked at a time, as on a chessboard; tiles of clips extend over all frames. Tiles of images are blocks of their
    own, those of clips make one block, as in the training of I-JEPA and V-JEPA.

    Args:
        sampler: whose grid is to be covered.

    Returns:
        The same at every call, int64 ``[1, Kc]`` and ``[1, M, Kt]`` each.

    Raises:
        ValueError: if the sampler does not say what its grid is, or its grid has a single token.

    Example:
        >>> from jepa_lightning.masking import MultiBlockMask, covering_masks
        >>> for context, target in covering_masks(MultiBlockMask((4, 4), min_keep=1)):
        ...     print(context.tolist()[0], target.tolist()[0])
        [2, 3, 6, 7, 8, 9, 12, 13] [[0, 1, 4, 5], [10, 11, 14, 15]]
        [0, 1, 4, 5, 10, 11, 14, 15] [[2, 3, 6, 7], [8, 9, 12, 13]]
    """
    if hasattr(sampler, "cover"):
        own: list[Masks] = sampler.cover()
        return own
    if not hasattr(sampler, "grid_size"):
        raise ValueError(
            f"{type(sampler).__name__} does not say how many tokens there are: give it an attribute grid_size, the "
            "number of tokens along each axis, or a method cover() that returns a list of Masks."
        )
    return tile_masks(sampler.grid_size)


def tile_masks(grid_size: Sequence[int]) -> list[Masks]:
    """Chessboards of tiles, see ``covering_masks``.

    Args:
        grid_size: tokens along rows and columns, or along frames, rows and columns.

    Raises:
        ValueError: if there is a single tile.
    """
    *time, rows, columns = grid_size
    grid = torch.arange(prod(grid_size)).reshape(-1, rows, columns)
    colors: tuple[list[Tensor], list[Tensor]] = ([], [])
    for (i, row), (j, column) in product(enumerate(_places(rows)), enumerate(_places(columns))):
        colors[(i + j) % 2].append(grid[:, row : row + _side(rows), column : column + _side(columns)].flatten())
    if not colors[1]:
        raise ValueError(f"a grid of {tuple(grid_size)} tokens has no token left to see when one is masked.")
    tiles = [torch.stack(blocks) for blocks in colors]
    return [masks_of(torch.unique(blocks)[None] if time else blocks, grid.numel()) for blocks in tiles]


def masks_of(blocks: Tensor, num_tokens: int) -> Masks:
    """Masks of one sample with given targets, int64 ``[M, Kt]``, and all other tokens of N as the context."""
    seen = torch.ones(num_tokens, dtype=torch.bool)
    seen[blocks.flatten()] = False
    return Masks(seen.nonzero().T.contiguous(), blocks[None])


def _side(length: int) -> int:
    return max(1, round(length * TILE))


def _places(length: int) -> list[int]:
    """Where the tiles of an axis start: the first and the last at its ends, the others evenly between."""
    number = ceil(length / _side(length))
    return [round(i * (length - _side(length)) / max(1, number - 1)) for i in range(number)]
