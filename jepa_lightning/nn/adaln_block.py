# B batch, T frames, N tokens of a frame, Q K queries and keys, D width, A heads, E width of a head
"""Transformer blocks that a condition, such as an action, shifts and scales.

Source: DiT (arXiv 2212.09748), section 3.2, adaLN-Zero; as predictors of states: LeWorldModel (arXiv 2603.19312).
"""

import torch
from timm.layers.mlp import Mlp
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.nn.attention import in_heads
from jepa_lightning.nn.key_values import KeyValues
from jepa_lightning.nn.rope import rotate


def frame_mask(frames: int, tokens: int, window: int, device: torch.device) -> Tensor:
    """Which tokens each token may look at: those of its own frame and of the frames before it.

    Args:
        frames: T.
        tokens: N.
        window: number of frames, its own included, that a token looks back on.
        device: where the mask is.

    Returns:
        bool ``[T * N, T * N]``, rows look at columns.
    """
    frame = torch.arange(frames, device=device).repeat_interleave(tokens)
    back = frame[:, None] - frame
    return (back >= 0) & (back < window)


class FrameAttention(nn.Module):
    """Attention over the tokens of several frames, with heads whose total width need not be that of the tokens.

    Args:
        width: D.
        heads: A.
        head_width: E.
        dropout: share of attention weights and of outputs set to 0 in training.
    """

    def __init__(self, width: int, heads: int, head_width: int, dropout: float) -> None:
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv = nn.Linear(width, 3 * heads * head_width, bias=False)
        self.proj = nn.Linear(heads * head_width, width)
        self.drop = nn.Dropout(dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, table: Tensor | None = None, memory: KeyValues | None = None
    ) -> Tensor:
        """Tokens ``[B, T, N, D]`` to tokens.

        Args:
            x: the tokens.
            mask: bool ``[T * N, T * N]``, of ``frame_mask``; None has every token look at all.
            table: rotary positions of the tokens.
            memory: keys and values of earlier frames, which is extended.
        """
        q, k, v = in_heads(self.qkv(x).flatten(1, 2), self.heads, parts=3)
        if table is not None:
            q, k = rotate(q, table), rotate(k, table)
        if memory is not None:
            k, v = memory.extend(k, v)
        dropout = self.dropout if self.training else 0.0
        found = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        out: Tensor = self.drop(self.proj(found.transpose(1, 2).flatten(2)))
        return out.view_as(x)


class AdaLNBlock(nn.Module):
    """A pre-norm block whose norms take shift, scale and the gate of each branch from a condition.

    It starts as the identity: the layer that makes them of the condition is 0 at first.

    Args:
        width: D, of tokens and of the condition.
        heads: A.
        head_width: E.
        hidden: width of the MLP.
        dropout: share set to 0 in training, in attention and MLP.
    """

    def __init__(self, width: int, heads: int, head_width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.attn = FrameAttention(width, heads, head_width, dropout)
        self.norm2 = nn.LayerNorm(width, eps=1e-6, elementwise_affine=False)
        self.mlp = Mlp(width, hidden, drop=dropout)
        self.modulation = nn.Linear(width, 6 * width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(
        self,
        x: Tensor,
        condition: Tensor,
        mask: Tensor | None,
        table: Tensor | None = None,
        memory: KeyValues | None = None,
    ) -> Tensor:
        """Tokens ``[B, T, N, D]`` under conditions ``[B, T, 1, D]`` of their frames; the rest as ``FrameAttention``."""
        numbers = self.modulation(F.silu(condition))
        shift1, scale1, gate1, shift2, scale2, gate2 = numbers.chunk(6, dim=-1)
        x = x + gate1 * self.attn(self.norm1(x) * (1 + scale1) + shift1, mask, table, memory)
        out: Tensor = x + gate2 * self.mlp(self.norm2(x) * (1 + scale2) + shift2)
        return out
