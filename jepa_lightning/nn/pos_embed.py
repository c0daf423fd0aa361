# N tokens, D width, P positions
"""Fixed sin-cos position tables and the grid they belong to."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def grid_size(size: Sequence[int], patch: Sequence[int]) -> tuple[int, ...]:
    """Tokens along each axis of an input: (rows, columns), or (frames, rows, columns) for a clip.

    Args:
        size: (H, W) in pixels, or (T, H, W) for a clip.
        patch: height and width of a patch in pixels, behind the frames of a token for a clip.

    Raises:
        ValueError: if the patch does not divide the size.
    """
    if len(size) != len(patch):
        raise ValueError(
            f"an input with axes {tuple(size)} does not fit patches {tuple(patch)}: "
            "images are [B, C, H, W], clips are [B, C, T, H, W] and need num_frames > 1."
        )
    if any(s < p for s, p in zip(size, patch, strict=True)):
        raise ValueError(
            f"an input of {_times(size)} is smaller than a patch of {_times(patch)}: "
            "lower patch_size, or raise image_size."
        )
    if any(s % p for s, p in zip(size, patch, strict=True)):
        raise ValueError(
            f"patch {_times(patch)} does not divide an input of {_times(size)}: "
            "choose an image size that is a multiple of the patch size."
        )
    return tuple(s // p for s, p in zip(size, patch, strict=True))


def sincos_pos_embed(width: int, grid: Sequence[int], *, order: str | None = None, uniform: bool = False) -> Tensor:
    """Sin-cos positions of a grid, computed in float64.

    Args:
        width: D.
        grid: (length,) of a series, (rows, columns) or (frames, rows, columns).
        order: axes in the order of their channels: "wh" for images as in I-JEPA and MAE (columns first; the default),
            "hw" for images as in V-JEPA. Clips are always "thw".
        uniform: give each axis of a clip the same number of channels (V-JEPA's configs), instead of half to time.

    Returns:
        float32 ``[N, D]``, rows in raster order.

    Raises:
        ValueError: if the width cannot be shared out over the axes.
    """
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in grid), indexing="ij")
    flat = [axis.flatten() for axis in axes]
    if len(grid) == 1:
        if width % 2:
            raise ValueError(f"width {width} is not a multiple of 2, which sin-cos positions of a series need.")
        parts = [_sincos_1d(width, flat[0])]
    elif len(grid) == 2:
        if width % 4:
            raise ValueError(f"width {width} is not a multiple of 4, which sin-cos positions of an image need.")
        rows, columns = (_sincos_1d(width // 2, axis) for axis in flat)
        parts = [rows, columns] if order == "hw" else [columns, rows]
    else:
        if width % 8:
            raise ValueError(f"width {width} is not a multiple of 8, which sin-cos positions of a clip need.")
        third = 2 * math.ceil(width / 6)
        shares = [third] * 3 if uniform else [width // 2, width // 4, width // 4]
        parts = [_sincos_1d(share, axis) for share, axis in zip(shares, flat, strict=True)]
    return torch.cat(parts, dim=1)[:, :width].float()


def _sincos_1d(width: int, positions: Tensor) -> Tensor:
    """``[P]`` positions to ``[P, width]``: all sines, then all cosines, at frequencies 10000^(-2k/width)."""
    half = width // 2
    frequencies = 10000.0 ** (-torch.arange(half, dtype=torch.float64) / half)
    angles = positions[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _times(numbers: Sequence[int]) -> str:
    return "x".join(str(n) for n in numbers)
