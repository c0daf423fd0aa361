# B batch, D width, C classes
"""Linear classifiers on pooled features."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from jepa_lightning.probing.heads import ProbeHeads


class LinearHeads(ProbeHeads):
    """A linear classifier for each label, on features that a norm without weights brings to mean 0 and variance 1.

    Args:
        width: D.
        classes: C of each label.
        device: where to build it.
    """

    least = 2  # a single sample has no variance to normalize by

    def __init__(self, width: int, classes: list[int], device: torch.device) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.BatchNorm1d(width, eps=1e-6, affine=False, device=device)
        # made on no device and zeroed: the problem is convex, and drawing weights would move training's generator
        self.heads = nn.ModuleList(nn.Linear(width, c, device="meta").to_empty(device=device) for c in classes)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """``[B, D]`` to ``[B, C]`` of each label."""
        features = self.norm(features)
        return [[head(features) for head in self.heads]]

    def average_gradients(self, counts: Tensor) -> None:
        """Divides each head's gradient by its label's count."""
        for head, count in zip(self.heads, counts.clamp(min=1), strict=True):
            for parameter in head.parameters():
                cast(Tensor, parameter.grad).div_(count)

    def statistics(self) -> Sequence[Tensor]:
        """Those of the norm."""
        return cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)
