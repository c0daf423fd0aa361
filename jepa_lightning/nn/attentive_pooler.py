# B batch, N tokens, D width, L labels
"""Tokens pooled by attention to learned queries."""

from functools import partial
from typing import Literal

import torch
from timm.layers.mlp import Mlp
from torch import Tensor, nn

from jepa_lightning.nn.attention import attend, in_heads
from jepa_lightning.nn.transformer_block import TransformerBlock

Generation = Literal[1, 2]


class CrossAttention(nn.Module):
    """Queries attend to tokens; what they find is not projected again, as in the reference.

    Args:
        width: D.
        heads: of the attention.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.kv = nn.Linear(width, width), nn.Linear(width, 2 * width)

    def forward(self, queries: Tensor, tokens: Tensor) -> Tensor:
        """``[B, L, D]`` and ``[B, N, D]`` to ``[B, L, D]``."""
        q = self.q(queries).view(*queries.shape[:2], self.heads, -1).transpose(1, 2)
        k, v = in_heads(self.kv(tokens), self.heads, parts=2)
        return attend(q, k, v).transpose(1, 2).flatten(2)


class AttentivePooler(nn.Module):
    """One learned query for each label gathers what it needs from the tokens.

    Source: V-JEPA (arXiv 2404.08471), appendix; V-JEPA 2 (arXiv 2506.09985), appendix.

    Args:
        width: D.
        num_queries: L.
        depth: blocks, one of which is the cross-attention.
        heads: of each attention.
        generation: 1 has the cross-attention first and the other blocks on the queries; 2 has the other blocks on the
            tokens and the cross-attention last.
        eps: of the norms.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import AttentivePooler
        >>> AttentivePooler(48, num_queries=3, depth=2, heads=3, generation=2)(torch.rand(2, 16, 48)).shape
        torch.Size([2, 3, 48])
    """

    def __init__(
        self, width: int, num_queries: int, depth: int, heads: int, generation: Generation, eps: float = 1e-5
    ) -> None:
        super().__init__()
        self.generation = generation
        norm = partial(nn.LayerNorm, eps=eps)
        self.query_tokens = nn.Parameter(torch.empty(1, num_queries, width))
        self.norm1, self.xattn = norm(width), CrossAttention(width, heads)
        self.norm2, self.mlp = norm(width), Mlp(width, 4 * width)
        self.blocks = nn.Sequential(*(TransformerBlock(width, heads, eps=eps) for _ in range(depth - 1)))
        nn.init.normal_(self.query_tokens, std=0.02)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.normal_(layer.weight, std=0.02)
                nn.init.zeros_(layer.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """``[B, N, D]`` to ``[B, L, D]``."""
        if self.generation == 2:
            tokens = self.blocks(tokens)
        queries: Tensor = self.query_tokens.expand(tokens.shape[0], -1, -1)
        queries = queries + self.xattn(queries, self.norm1(tokens))
        queries = queries + self.mlp(self.norm2(queries))
        return self.blocks(queries) if self.generation == 1 else queries
