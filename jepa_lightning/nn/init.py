"""How the weights of transformers start."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

from jepa_lightning.nn.patch_embed import ConvPatchEmbed


def init_weights(
    module: nn.Module, blocks: Iterable[Any], *, scale_patches: bool = False, scale_depth: bool = False
) -> None:
    """Initializes a transformer in place: weights from N(0, 0.02), biases 0, norms at identity.

    This is what the code of I-JEPA and V-JEPA effectively does, and the default. The projection of a convolutional
    embedding, which they do not have, is scaled to give tokens as large as a linear one's. Two parts can be added,
    which lower the loss of small models. On digits both lose features: accuracy in % of logistic regression and of 20
    nearest neighbors on 1,000 of 5,000 MNIST digits (28 px, patches of 4, width 96, 4 blocks, 120 steps of 64, seed 0,
    bf16-mixed, at commit 146f0f5 by a forerunner of ``examples/initialization_study.py``):

    ==================== =========== =========== =========== ===========
    method               neither     patches     depth       both
    ==================== =========== =========== =========== ===========
    SimCLR               84.8, 56.4  62.9, 41.9  80.5, 50.7  61.2, 42.5
    I-JEPA, small recipe 81.3, 62.9  63.0, 35.8  -           -
    ==================== =========== =========== =========== ===========

    On procedural scenes (``configs/quickstart.yaml``, seed 1) ``scale_patches`` reads shapes better, 53.2 against 48.5,
    and positions worse, 51.6 against 69.5. Single runs, with a standard error of up to 1.6 points.

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
    for layer in module.modules():
        if isinstance(layer, ConvPatchEmbed) and not scale_patches:
            layer.scale_as_linear_()
    if not scale_depth:
        return
    for depth, block in enumerate(blocks, start=1):
        block.attn.proj.weight.data.div_(math.sqrt(2 * depth))
        block.mlp.fc2.weight.data.div_(math.sqrt(2 * depth))


def init_xavier_weights(module: nn.Module) -> None:
    """Initializes a transformer in place: weights from Xavier's uniform distribution, biases 0, norms at identity.

    A patch embedding is initialized as the linear layer that it is. Source: MAE (arXiv 2111.06377), appendix A.1.

    Args:
        module: holds the weights.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d | nn.Conv3d):
            nn.init.xavier_uniform_(layer.weight.data.flatten(1))
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
