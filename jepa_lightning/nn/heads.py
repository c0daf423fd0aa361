# B batch, D width
"""Heads between features and a loss over them."""

from torch import nn


def projection_head(width: int, hidden: int, out: int) -> nn.Sequential:
    """Two linear layers, the first one batch-normalised: ``[B, width]`` to ``[B, out]``.

    The loss shapes what comes out of it and leaves the features before it room to hold more. Source: SimCLR
    (arXiv 2002.05709), section 4.2.

    Args:
        width: of the features.
        hidden: width between the layers.
        out: width of the projections.
    """
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.GELU(), nn.Linear(hidden, out))
