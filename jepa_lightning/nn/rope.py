# B batch, N tokens of the grid, K kept tokens, D width, A heads, E width of a head, R channels of it that are rotated
"""Rotary positions over frames, rows and columns.

Source: V-JEPA 2 (arXiv 2506.09985), section 2.1; V-JEPA 2.1 (arXiv 2603.14482); RoFormer (arXiv 2104.09864).
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

RopeStyle = Literal["exact", "vjepa2"]


def rope_table(grid: Sequence[int], head_width: int, style: RopeStyle, spread: int | None = None) -> Tensor:
    """Cosines and sines that rotate the queries and keys of each token of a grid.

    The first third of the rotated channels turns with the frame, the second with the row, the last with the column, at
    frequencies 10000^(-2k/third). Channels 2i and 2i + 1 are the two coordinates of what is turned; up to 5 channels
    at the end of a head are left alone.

    Args:
        grid: (frames, rows, columns), or (rows, columns) for an image, which is a frame 0.
        head_width: E.
        style: ``exact`` turns both coordinates of a pair by one angle. ``vjepa2`` is what the V-JEPA 2 code does and
            its weights need: the table of angles is tiled twice over the channels while pairs are adjacent, so that the
            two coordinates mostly have two angles, and lengths change. V-JEPA 2.1 is ``exact``.
        spread: rows, and columns, that positions are spread over: those of a grid of H rows are multiplied by
            ``(spread - 1) / (H - 1)``, and columns likewise, so that other resolutions have the positions of the
            pretrained one, of 16 rows in V-JEPA 2.1. Frames are as they are. None counts tokens.

    Returns:
        float32 ``[2, N, R]``, cosines first.

    Raises:
        ValueError: if a head is too narrow for three axes, or there is no such style.
    """
    third = 2 * (head_width // 3 // 2)
    if not third:
        raise ValueError(
            f"heads of width {head_width} are too narrow for rotary positions over 3 axes: give at least 6."
        )
    if style not in ("exact", "vjepa2"):
        raise ValueError(f"there is no rope_style '{style}': choose exact or vjepa2.")
    frequencies = 10000.0 ** (-torch.arange(third // 2, dtype=torch.float64) / (third // 2))
    frames, *space = (torch.arange(n, dtype=torch.float64) for n in (1, *grid)[-3:])
    if spread is not None:  # a single row stands at 0 in any case
        space = [places * ((spread - 1) / max(len(places) - 1, 1)) for places in space]
    axes = torch.meshgrid(frames, *space, indexing="ij")
    angles = torch.stack([axis.flatten() for axis in axes], dim=1)[..., None] * frequencies  # [N, 3, third / 2]
    angles = angles.repeat_interleave(2, dim=-1) if style == "exact" else angles.repeat(1, 1, 2)
    return torch.stack([angles.cos(), angles.sin()]).flatten(2).float()


def rotate(x: Tensor, table: Tensor) -> Tensor:
    """Turns queries or keys.

    Args:
        x: ``[B, A, K, E]``.
        table: ``[2, K, R]``, or ``[2, B, 1, K, R]`` where samples keep different tokens.

    Returns:
        ``[B, A, K, E]`` in the type of ``x``.
    """
    cos, sin = table
    turned, rest = x.tensor_split([table.shape[-1]], dim=-1)
    first, second = turned[..., ::2], turned[..., 1::2]
    partner = torch.stack([-second, first], dim=-1).flatten(-2)
    return torch.cat([(turned * cos + partner * sin).to(x.dtype), rest], dim=-1)


def take_positions(table: Tensor, indices: Tensor | None) -> Tensor:
    """The part of a table ``[2, N, R]`` for int64 ``[B, K]`` tokens: ``[2, B, 1, K, R]``; None takes all."""
    return table if indices is None else table[:, indices].unsqueeze(2)
