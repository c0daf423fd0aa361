"""How the weights of transformers start."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn


def init_weights(
    module: nn.Module, blocks: Iterable[Any], *, scale_patches: bool = False, scale_depth: bool = False
) -> None:
    """Initializes a transformer in place: weights from N(0, 0.02), biases 0, norms at identity.

    This is what the code of I-JEPA and V-JEPA effectively does, and the default. Two parts can be added, each of which
    lowers the loss of small models and loses what their features are for (``examples/initialization_study.py``).

    Args:
        module: holds the weights.
        blocks: the transformer blocks of the module, in order.
        scale_patches: start the patch embedding at the scale of the position table, whose root mean square is
            sqrt(1/2), for pixels of unit variance. At 0.02 only patches of about 16 pixels do; for patches of 4 the
            table is seven times as large as the content.
        scale_depth: divide the output projections of block l (from 1) by sqrt(2 l), so that the residual stream starts
            at the same scale at every depth. The reference means to, and then draws these weights a second time.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            is_patches = not isinstance(layer, nn.Linear)
            std = math.sqrt(0.5 / layer.weight[0].numel()) if is_patches and scale_patches else 0.02
            # the reference's "truncated" normal is cut at 100 standard deviations: a plain normal
            nn.init.normal_(layer.weight, std=std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if not scale_depth:
        return
    for depth, block in enumerate(blocks, start=1):
        block.attn.proj.weight.data.div_(math.sqrt(2 * depth))
        block.mlp.fc2.weight.data.div_(math.sqrt(2 * depth))
