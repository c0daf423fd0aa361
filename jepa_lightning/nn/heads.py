# B batch, D width, P prototypes
"""Heads between features and a loss over them."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def projection_head(width: int, hidden: int, out: int) -> nn.Sequential:
    """Two linear layers, the first one batch-normalized: ``[B, width]`` to ``[B, out]``.

    The loss shapes its output, and leaves the features before it room to hold more. Source: SimCLR
    (arXiv 2002.05709), section 4.2.

    Args:
        width: of the features.
        hidden: width between the layers.
        out: width of the projections.
    """
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.GELU(), nn.Linear(hidden, out))


def mlp_head(
    widths: Sequence[int],
    *,
    norm: bool = True,
    last_norm: bool = False,
    last_bias: bool = True,
) -> nn.Sequential:
    """Linear layers with ReLU between them: ``[B, widths[0]]`` to ``[B, widths[-1]]``.

    Args:
        widths: of the input, between layers, and of the output.
        norm: batch normalization before each ReLU.
        last_norm: batch normalization of the output, without scale and shift.
        last_bias: of the output without normalization; needless before a loss that takes the mean away.
    """
    layers: list[nn.Module] = []
    for i, (narrow, wide) in enumerate(pairwise(widths)):
        last = i == len(widths) - 2
        normed = last_norm if last else norm
        # a shift before a normalization does nothing
        layers.append(nn.Linear(narrow, wide, bias=not normed and (last_bias or not last)))
        if normed:
            layers.append(nn.BatchNorm1d(wide, affine=not last))
        if not last:
            layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class PrototypeHead(nn.Module):
    """An MLP to a bottleneck of length 1, and its cosine with each prototype: ``[B, D]`` to ``[B, P]``.

    Source: DINO, arXiv 2104.14294, appendix C: GELU, no batch normalization, prototypes of length 1.

    Args:
        width: D.
        hidden: width between layers.
        bottleneck: width of the prototypes.
        prototypes: P.
        layers: linear layers before the prototypes.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import PrototypeHead
        >>> PrototypeHead(48, hidden=64, bottleneck=16, prototypes=100)(torch.rand(2, 48)).shape
        torch.Size([2, 100])
    """

    def __init__(
        self, width: int, hidden: int = 2048, bottleneck: int = 256, prototypes: int = 65536, layers: int = 3
    ) -> None:
        super().__init__()
        widths = [width, *[hidden] * (layers - 1), bottleneck]
        mlp: list[nn.Module] = []
        for narrow, wide in pairwise(widths):
            mlp += [nn.Linear(narrow, wide), nn.GELU()]
        self.mlp = nn.Sequential(*mlp[:-1])
        self.prototypes = nn.Linear(bottleneck, prototypes, bias=False)
        for linear in self.mlp:
            if isinstance(linear, nn.Linear):
                nn.init.trunc_normal_(linear.weight, std=0.02)
                nn.init.zeros_(linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """Cosines of ``[B, D]`` features with the prototypes, float32 ``[B, P]``."""
        projected = self.mlp(features)
        # autocast would round cosines that a small temperature then blows up
        with torch.autocast(features.device.type, enabled=False):
            directions = F.normalize(self.prototypes.weight.float(), dim=-1)
            return F.linear(F.normalize(projected.float(), dim=-1), directions)
