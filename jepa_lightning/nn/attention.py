# B batch, A heads, Q queries, K keys, E width of a head, D width
"""Attention, computed in the way that is fastest on the device at hand."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.nn.rope import rotate

MAX_EXPLICIT_KEYS = 512  # the explicit form holds the weights of all pairs: at twice the length it gains 15 %


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention: softmax(q k^T / sqrt(E)) v.

    Calls torch's fused kernel, except for bfloat16 on a CPU with up to 512 keys: there two matrix products and a
    softmax take .2 to .4 of the time of a training step's attention (``examples/benchmarks/attention.py``).

    Args:
        q: ``[B, A, Q, E]``.
        k: ``[B, A, K, E]``.
        v: ``[B, A, K, E]``.

    Returns:
        ``[B, A, Q, E]``.
    """
    if q.device.type == "cpu" and q.dtype == torch.bfloat16 and k.shape[-2] <= MAX_EXPLICIT_KEYS:
        return explicit_attention(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by two matrix products, with the weights ``[B, A, Q, K]`` in memory."""
    scale: float = q.shape[-1] ** -0.5
    return ((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1) @ v


class SelfAttention(nn.Module):
    """Attention from all tokens to all; parameters are named as in timm's.

    Args:
        width: D.
        heads: A.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, table: Tensor | None = None) -> Tensor:
        """Tokens ``[B, K, D]`` to ``[B, K, D]``; a table of ``rope_table`` rotates queries and keys."""
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        if table is not None:
            q, k = rotate(q, table), rotate(k, table)
        projected: Tensor = self.proj(attend(q, k, v).transpose(1, 2).flatten(2))
        return projected
