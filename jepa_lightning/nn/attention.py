# B batch, A heads, Q queries, K keys, E width of a head, D width, G groups, S tokens of a group
"""Attention, computed in the way that is fastest on the device."""

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
    if is_explicit_faster(q, k.shape[-2]):
        return explicit_attention(q, k, v)
    return F.scaled_dot_product_attention(q, k, v)


def is_explicit_faster(q: Tensor, keys: int) -> bool:
    """Whether two matrix products and a softmax are faster than the fused kernel, for K keys of each query."""
    return q.device.type == "cpu" and q.dtype == torch.bfloat16 and keys <= MAX_EXPLICIT_KEYS


def explicit_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """The same by two matrix products, with the weights ``[B, A, Q, K]`` in memory."""
    scale: float = q.shape[-1] ** -0.5
    return ((q * scale) @ k.transpose(-2, -1)).softmax(dim=-1) @ v


def attend_in_groups(q: Tensor, k: Tensor, v: Tensor, groups: int, size: int) -> Tensor:
    """Attention of tokens of which the last stand in groups, which see the tokens before them and not each other.

    The tokens before the groups see themselves alone, so that one computation of them serves all groups.

    Args:
        q: ``[B, A, K, E]``, or the last ``G * S`` alone.
        k: ``[B, A, K, E]``.
        v: ``[B, A, K, E]``.
        groups: G.
        size: S.

    Returns:
        ``[B, A, K, E]``, or ``[B, A, G * S, E]``: as many as queries.
    """
    before, count = k.shape[-2] - groups * size, groups * size

    def split(x: Tensor) -> tuple[Tensor, Tensor]:
        return x[:, :, :-count], x[:, :, -count:].view(*x.shape[:2], groups, size, x.shape[3])

    (q_before, q_own), (k_before, k_own), (v_before, v_own) = split(q), split(k), split(v)
    if is_explicit_faster(q, before + size):
        found = _explicit_in_groups(q_own, k_before, k_own, v_before, v_own)
    else:
        keys, values = (
            torch.cat([shared[:, :, None].expand(-1, -1, groups, -1, -1), own], dim=3).flatten(1, 2)
            for shared, own in ((k_before, k_own), (v_before, v_own))
        )
        found = attend(q_own.flatten(1, 2), keys, values).view_as(q_own)
    found = found.flatten(2, 3)
    return found if q.shape[2] == count else torch.cat([attend(q_before, k_before, v_before), found], dim=2)


def _explicit_in_groups(q: Tensor, k_before: Tensor, k: Tensor, v_before: Tensor, v: Tensor) -> Tensor:
    """Explicit attention of groups ``[B, A, G, S, E]``, with one copy of the tokens before them, ``[B, A, K, E]``."""
    q = q * q.shape[-1] ** -0.5
    number = k_before.shape[2]
    before = (q.flatten(2, 3) @ k_before.transpose(-2, -1)).view(*q.shape[:-1], number)
    weights = torch.cat([before, q @ k.transpose(-2, -1)], dim=-1).softmax(dim=-1)
    seen, own = weights[..., :number], weights[..., number:]
    out: Tensor = (seen.flatten(2, 3) @ v_before).view_as(q) + own @ v
    return out


def in_heads(packed: Tensor, heads: int, parts: int) -> list[Tensor]:
    """Queries, keys and values that one layer has made, taken apart.

    Parts come apart before heads and tokens change places: the backward pass then puts their gradients together in one
    copy, where it would take two.

    Args:
        packed: ``[B, K, parts * A * E]``.
        heads: A.
        parts: 3, or 2 for keys and values.

    Returns:
        As many ``[B, A, K, E]``.
    """
    parted = packed.view(*packed.shape[:2], parts, heads, packed.shape[2] // (parts * heads))
    return [part.transpose(1, 2) for part in parted.unbind(2)]


class SelfAttention(nn.Module):
    """Attention from all tokens to all, or in groups; parameters are named as in timm's.

    Args:
        width: D.
        heads: A.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import SelfAttention
        >>> SelfAttention(48, heads=3)(torch.rand(2, 16, 48)).shape
        torch.Size([2, 16, 48])
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(
        self,
        x: Tensor,
        table: Tensor | None = None,
        last: int | None = None,
        groups: tuple[int, int] | None = None,
    ) -> Tensor:
        """Tokens to tokens.

        Args:
            x: ``[B, K, D]``.
            table: of ``rope_table``, which rotates queries and keys.
            last: number of tokens at the end that are wanted; they see all the others. None gives all.
            groups: number and size of groups at the end, as in ``attend_in_groups``; None has none.

        Returns:
            ``[B, K, D]``, or the last of them.
        """
        q, k, v = in_heads(self.qkv(x), self.heads, parts=3)
        wanted = slice(None) if last is None else slice(x.shape[1] - last, None)
        q = q[:, :, wanted]
        if table is not None:
            q, k = rotate(q, table[..., wanted, :]), rotate(k, table)
        attended = attend(q, k, v) if groups is None else attend_in_groups(q, k, v, *groups)
        projected: Tensor = self.proj(attended.transpose(1, 2).flatten(2))
        return projected
