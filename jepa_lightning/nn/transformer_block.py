# B batch, K kept tokens, D width
"""The transformer blocks that encoder and predictor are made of."""

from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import torch
from timm.layers import DropPath as TimmDropPath  # type: ignore[attr-defined]
from timm.layers.mlp import Mlp
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jepa_lightning.nn.attention import SelfAttention
from jepa_lightning.nn.drop_path import DropPath


class TransformerBlock(nn.Module):
    """timm's pre-norm ``Block``, parameter for parameter, with rotary positions where they are given.

    Args:
        width: D.
        heads: of the attention.
        mlp_ratio: hidden width of the MLP over D.
        drop_path: stochastic depth rate.
        eps: of the norms.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import TransformerBlock
        >>> TransformerBlock(48, heads=3)(torch.rand(2, 16, 48)).shape
        torch.Size([2, 16, 48])
    """

    def __init__(
        self, width: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0, eps: float = 1e-6
    ) -> None:
        super().__init__()
        norm = partial(nn.LayerNorm, eps=eps)
        self.norm1, self.attn = norm(width), SelfAttention(width, heads)
        self.norm2, self.mlp = norm(width), Mlp(width, int(width * mlp_ratio))
        self.drop_path = DropPath(drop_path) if drop_path else nn.Identity()

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
            table: rotary positions of the tokens.
            last: number of tokens at the end that are wanted: the others are seen and not computed further.
            groups: number and size of groups at the end that do not see each other, and are not seen by the tokens
                before them.

        Returns:
            ``[B, K, D]``, or the last of them.
        """
        attended = self.drop_path(self.attn(self.norm1(x), table, last, groups))
        x = (x if last is None else x[:, x.shape[1] - last :]) + attended
        out: Tensor = x + self.drop_path(self.mlp(self.norm2(x)))
        return out


def build_blocks(
    width: int, depth: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0, eps: float = 1e-6
) -> nn.ModuleList:
    """A stack of blocks.

    Args:
        width: D.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of the MLP over D.
        drop_path: stochastic depth rate of the last block; rises linearly from 0.
        eps: of the norms.
    """
    rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
    return nn.ModuleList(TransformerBlock(width, heads, mlp_ratio, rate, eps) for rate in rates)


def run_block(block: nn.Module, tokens: Tensor, table: Tensor | None, recompute: bool, **wanted: Any) -> Tensor:
    """One block on tokens ``[B, K, D]``.

    Args:
        block: one of ``build_blocks``.
        tokens: its input.
        table: rotary positions of the tokens; None for tokens that carry their positions.
        recompute: run it again in the backward pass instead of keeping what it computes on the way.
        wanted: ``last`` and ``groups`` of a ``TransformerBlock``.
    """
    inputs: Sequence[Tensor] = (tokens,) if table is None else (tokens, table)
    if recompute and torch.is_grad_enabled():
        return cast(Tensor, checkpoint(block, *inputs, use_reentrant=False, **wanted))
    return cast(Tensor, block(*inputs, **wanted))


def compile_blocks(module: nn.Module) -> int:
    """Compiles every transformer block in place, timm's too; state-dict names stay.

    Blocks with stochastic depth share a graph whatever their rates: it is computed with the rate in a tensor.

    Args:
        module: a network, or a module with several of them.

    Returns:
        The number of blocks.
    """
    number = 0
    for layer in list(module.modules()):
        if isinstance(layer, Block):
            for name, child in layer.named_children():
                if isinstance(child, TimmDropPath):
                    setattr(layer, name, DropPath(child.drop_prob).train(child.training))
        if isinstance(layer, Block | TransformerBlock):
            layer.compile()
            number += 1
    return number
