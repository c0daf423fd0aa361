# D width, L levels
"""Levels: blocks of an encoder whose outputs are supervised, each with a norm of its own.

Source: V-JEPA 2.1 (arXiv 2603.14482), deep self-supervision.
"""

from collections.abc import Sequence

from torch import nn


def block_indices(layers: Sequence[int], depth: int) -> list[int]:
    """Blocks counted from either end to indices from the front.

    Args:
        layers: indices, negative ones from the end.
        depth: number of blocks.

    Raises:
        ValueError: if one of them is not there.
    """
    if any(not -depth <= layer < depth for layer in layers):
        raise ValueError(f"layers {tuple(layers)} are not all there: the encoder has {depth} blocks.")
    return [layer % depth for layer in layers]


def level_indices(levels: Sequence[int], depth: int) -> list[int]:
    """Levels as indices from the front.

    Args:
        levels: blocks in rising order, negative ones from the end; the last one is the last block, whose norm is the
            encoder's final norm.
        depth: number of blocks.

    Raises:
        ValueError: if they are not all there, do not rise, or do not end with the last block.
    """
    if not levels or any(not -depth <= level < depth for level in levels):
        raise ValueError(
            f"levels {list(levels)} are not all there: the encoder has {depth} blocks, 0 to {depth - 1}, or -{depth} "
            "to -1 from the end."
        )
    found = [level % depth for level in levels]
    if found != sorted(set(found)) or found[-1] != depth - 1:
        raise ValueError(
            f"levels {list(levels)} of an encoder of {depth} blocks must rise, and end with the last block, "
            f"{depth - 1} or -1."
        )
    return found


def level_norms(width: int, number: int, eps: float = 1e-6) -> nn.ModuleList:
    """A layer norm for each of L levels, D wide; the last one plays the final norm."""
    return nn.ModuleList(nn.LayerNorm(width, eps=eps) for _ in range(number))
