# B batch, K kept tokens, P registers, D width, R rotated channels
"""Registers: learned tokens that stand nowhere, take part in the attention, and are left out of what comes back.

Source: Vision Transformers Need Registers (arXiv 2309.16588).
"""

import torch
from torch import Tensor, nn


def register_tokens(number: int, width: int) -> nn.Parameter | None:
    """Registers ``[1, P, D]``, from N(0, 0.02) as all weights; None where there are to be none."""
    return nn.Parameter(0.02 * torch.randn(1, number, width)) if number else None


def append_registers(tokens: Tensor, table: Tensor | None, registers: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Puts registers behind the tokens of each sample.

    Args:
        tokens: ``[B, K, D]``, with their positions.
        table: rotary positions of the tokens, ``[2, K, R]`` or ``[2, B, 1, K, R]``; None where tokens carry theirs.
        registers: ``[1, P, D]``, or ``[B, P, D]`` of each sample; None adds nothing.

    Returns:
        Tokens ``[B, K + P, D]``, and the table for them, which turns no register.
    """
    if registers is None:
        return tokens, table
    tokens = torch.cat([tokens, registers.to(tokens.dtype).expand(tokens.shape[0], -1, -1)], dim=1)
    if table is not None:
        still = table.new_zeros(*table.shape[:-2], registers.shape[1], table.shape[-1])
        still[0] = 1.0  # the cosine of no turn
        table = torch.cat([table, still], dim=-2)
    return tokens, table
