# B batch, K kept tokens, D width
"""The stack of transformer blocks that encoder and predictor are made of."""

from collections.abc import Sequence
from functools import partial
from typing import cast

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from jepa_lightning.nn.rope import RoPEBlock


def build_blocks(
    width: int, depth: int, heads: int, mlp_ratio: float = 4.0, drop_path: float = 0.0, rope: bool = False
) -> nn.ModuleList:
    """Pre-norm blocks: timm's, or with rotary positions.

    Args:
        width: D.
        depth: number of blocks.
        heads: attention heads per block.
        mlp_ratio: hidden width of the MLP over D.
        drop_path: stochastic depth rate of the last block; rises linearly from 0.
        rope: blocks take a table of rotary positions.
    """
    rates = [drop_path * i / max(depth - 1, 1) for i in range(depth)]
    if rope:
        return nn.ModuleList(RoPEBlock(width, heads, mlp_ratio, rate) for rate in rates)
    norm = partial(nn.LayerNorm, eps=1e-6)
    return nn.ModuleList(
        Block(width, heads, mlp_ratio, qkv_bias=True, drop_path=rate, norm_layer=norm)  # type: ignore[arg-type]
        for rate in rates
    )


def run_block(block: nn.Module, tokens: Tensor, table: Tensor | None, recompute: bool) -> Tensor:
    """One block on tokens ``[B, K, D]``.

    Args:
        block: one of ``build_blocks``.
        tokens: its input.
        table: rotary positions of the tokens, for blocks that take them.
        recompute: run it again in the backward pass instead of keeping what it computes on the way.
    """
    inputs: Sequence[Tensor] = (tokens,) if table is None else (tokens, table)
    if recompute and torch.is_grad_enabled():
        return cast(Tensor, checkpoint(block, *inputs, use_reentrant=False))
    return cast(Tensor, block(*inputs))


def compile_blocks(module: nn.Module) -> None:
    """Compiles every transformer block in place; state-dict names stay."""
    for layer in module.modules():
        if isinstance(layer, Block | RoPEBlock):
            layer.compile()
