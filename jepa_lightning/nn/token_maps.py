# B batch, N tokens, D width, T H W frames, height, width of a view, t h w of the grid
"""Tokens as maps."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor


def token_grid(encoder: Any, view: Tensor, tokens: int) -> tuple[int, ...]:
    """Rows and columns of the tokens of a view, and before these the tubelets of a clip.

    Args:
        encoder: its ``patch`` says it; without one, places are taken to be as far apart in both directions, or to be
            those of a convolutional network, whose strides of 2 round up or down.
        view: ``[B, C, H, W]`` or ``[B, C, T, H, W]``.
        tokens: N.

    Raises:
        ValueError: if the tokens are on no grid.
    """
    height, width = view.shape[-2:]
    patch: Sequence[int] | None = getattr(encoder, "patch", None)
    if patch is not None:
        size = (height // patch[-2], width // patch[-1])
    else:
        rows = max(1, min(round(math.sqrt(tokens * height / width)), tokens))  # a tall view may have a single token
        size = (rows, tokens // rows)
        if tokens % rows or size[0] * width != size[1] * height:  # as after strides that do not divide the view
            size = _halved(height, width, tokens) or size
    frames, rest = divmod(tokens, math.prod(size)) if math.prod(size) else (0, tokens)
    if rest or (frames != 1 and view.ndim == 4 and len(patch or ()) < 3):
        raise ValueError(
            f"the {tokens} tokens of a view of {height} x {width} pixels are not the places of a grid: give the "
            "encoder an attribute patch, or features that are maps."
        )
    return size if view.ndim == 4 and frames == 1 else (frames, *size)


def as_maps(tokens: Tensor, grid: Sequence[int]) -> Tensor:
    """Tokens ``[B, N, D]`` to a map ``[B, D, h, w]``, or ``[B, D, t, h, w]``."""
    return tokens.transpose(1, 2).reshape(len(tokens), tokens.shape[2], *grid)


def _halved(height: int, width: int, tokens: int) -> tuple[int, int] | None:
    """Rows and columns that are left of a view after some strides of 2; None where they are not as many as tokens."""
    sizes = [(height, width)] if tokens else []
    while sizes:
        if found := [size for size in sizes if math.prod(size) == tokens]:
            return found[0]
        halves = [(side(rows / 2), side(columns / 2)) for side in (math.ceil, math.floor) for rows, columns in sizes]
        sizes = [size for size in dict.fromkeys(halves) if math.prod(size) >= tokens]
    return None
