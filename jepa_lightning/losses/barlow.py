# B batch of one rank, D width
"""Redundancy reduction: each feature agrees with itself over two views, and with no other feature."""

import torch
from torch import Tensor, nn

from jepa_lightning.losses.contrastive import check_pair
from jepa_lightning.losses.moments import moments
from jepa_lightning.losses.samples import check_samples


def barlow_twins_loss(
    a: Tensor, b: Tensor, off_diagonal: float = 0.0051, eps: float = 1e-5, gather: bool = False
) -> Tensor:
    """Squared distance of the views' cross-correlation from the identity.

    ``sum_i (1 - C_ii)^2 + off_diagonal * sum_{i != j} C_ij^2``. Source: arXiv 2103.03230, equation 1; the default
    weight is the authors' code's. Features are standardized over the batch with the biased variance, as batch
    normalization does.

    Args:
        a: ``[B, D]`` projections of one view.
        b: ``[B, D]`` those of the other.
        off_diagonal: weight of the second sum.
        eps: added to the variance.
        gather: correlate over the samples of all ranks.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if there is a single sample, or the shapes differ.
    """
    check_pair("barlow_twins_loss", a, b)
    check_samples("barlow_twins_loss", a, gather=gather)
    found = moments([a, b], [(0, 1)], gather)
    first, second = (torch.sqrt(squares / found.number + eps) for squares in found.squares)
    correlation = found.products[0] / found.number / first[:, None] / second
    diagonal = correlation.diagonal()
    others = correlation - torch.diag(diagonal)
    return (1 - diagonal).square().sum() + off_diagonal * others.square().sum()


class BarlowTwinsLoss(nn.Module):
    """``barlow_twins_loss`` with its options.

    Args:
        off_diagonal: weight of the correlations between different features.
        gather: take the statistic over the samples of all ranks instead of those of this rank.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import BarlowTwinsLoss
        >>> features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> loss = BarlowTwinsLoss(off_diagonal=0.0)
        >>> loss(features, features) < 1e-3  # each feature agrees with itself
        tensor(True)
    """

    def __init__(self, off_diagonal: float = 0.0051, gather: bool = False) -> None:
        super().__init__()
        self.off_diagonal, self.gather = off_diagonal, gather

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Loss of two views' ``[B, D]`` projections: a scalar."""
        return barlow_twins_loss(a, b, self.off_diagonal, gather=self.gather)
