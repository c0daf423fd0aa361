import math
from collections.abc import Iterable
from typing import Any

from torch import nn


def init_weights(module: nn.Module, blocks: Iterable[Any], *, legacy: bool) -> None:
    """Initialises a transformer in place: weights from N(0, 0.02), biases 0, norms at identity.

    The papers then divide the output projections of block l (from 1) by sqrt(2 l), so that the residual stream
    starts at the same scale at every depth. The I-JEPA and V-JEPA code draws again afterwards and so loses it.

    Args:
        module: holds the weights.
        blocks: the transformer blocks of the module, in order.
        legacy: leave the rescaling out, as the reference effectively does.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            # the reference's "truncated" normal is cut at 100 standard deviations: a plain normal
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    if legacy:
        return
    for depth, block in enumerate(blocks, start=1):
        block.attn.proj.weight.data.div_(math.sqrt(2 * depth))
        block.mlp.fc2.weight.data.div_(math.sqrt(2 * depth))
