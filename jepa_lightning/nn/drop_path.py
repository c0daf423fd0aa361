# B batch
"""Stochastic depth with its rate in a tensor, so that compiled blocks of different rates share one graph."""

import torch
from torch import Tensor, nn


class DropPath(nn.Module):
    """Sets the branch of a residual block to 0 for some samples, and scales the others, as ``timm.layers.DropPath``.

    Source: arXiv 1603.09382.

    Args:
        rate: probability that a sample's branch is dropped, in [0, 1).
    """

    def __init__(self, rate: float) -> None:
        super().__init__()
        # torch.compile makes a graph for each Python number that it meets, but one for all values of a tensor
        self.register_buffer("keep", torch.tensor(1.0 - rate), persistent=False)
        self.keep: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """Drops samples of ``[B, ...]`` in train mode."""
        if not self.training:
            return x
        kept = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device) < self.keep
        return x * (kept / self.keep).to(x.dtype)
