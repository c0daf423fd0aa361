import math
from collections.abc import Iterable
from typing import Any

from torch import nn


def init_weights(module: nn.Module, blocks: Iterable[Any], *, legacy: bool) -> None:
    """Initialises a transformer in place: weights from N(0, 0.02), biases 0, norms at identity.

    Two things differ from what the I-JEPA and V-JEPA code effectively does. The output projections of block l (from 1)
    are divided by sqrt(2 l), so that the residual stream starts at the same scale at every depth; the reference means
    to, draws again afterwards and so loses it. And the patch embedding starts at the scale of the position table, whose
    root mean square is sqrt(1/2), for pixels of unit variance. At 0.02 it does so for patches of 16 pixels by chance;
    for patches of 4 the table is seven times as large, hides the content, and invites collapse onto the positions.

    Args:
        module: holds the weights.
        blocks: the transformer blocks of the module, in order.
        legacy: leave both out.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            # the reference's "truncated" normal is cut at 100 standard deviations: a plain normal
            nn.init.normal_(layer.weight, std=0.02)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if isinstance(layer, nn.Conv2d | nn.Conv3d) and not legacy:
            nn.init.normal_(layer.weight, std=math.sqrt(0.5 / layer.weight[0].numel()))
    if legacy:
        return
    for depth, block in enumerate(blocks, start=1):
        block.attn.proj.weight.data.div_(math.sqrt(2 * depth))
        block.mlp.fc2.weight.data.div_(math.sqrt(2 * depth))
