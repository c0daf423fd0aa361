# B batch of one rank, D width
"""Redundancy reduction: each feature agrees with itself over two views, and with no other feature."""

import torch
from torch import Tensor, nn

from jepa_lightning.distributed import gather_samples
from jepa_lightning.losses.contrastive import check_pair
from jepa_lightning.losses.samples import check_samples


def barlow_twins_loss(
    a: Tensor, b: Tensor, off_diagonal: float = 0.005, eps: float = 1e-5, gather: bool = False
) -> Tensor:
    """Squared distance of the views' cross-correlation from the identity.

    ``sum_i (1 - C_ii)^2 + off_diagonal * sum_{i != j} C_ij^2``. Source: arXiv 2103.03230, equation 1. Features are
    standardised over the batch with the biased variance, as batch normalisation does.

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
    views = [gather_samples(view) if gather else view for view in (a, b)]
    check_samples("barlow_twins_loss", views[0])
    # autocast would correlate in half precision
    with torch.autocast(a.device.type, enabled=False):
        first, second = (_standardise(view.float(), eps) for view in views)
        correlation = first.T @ second / len(first)
    diagonal = correlation.diagonal()
    others = correlation - torch.diag(diagonal)
    return (1 - diagonal).square().sum() + off_diagonal * others.square().sum()


class BarlowTwinsLoss(nn.Module):
    """``barlow_twins_loss`` with its options.

    Args:
        off_diagonal: as in ``barlow_twins_loss``.
        gather: as in ``barlow_twins_loss``.
    """

    def __init__(self, off_diagonal: float = 0.005, gather: bool = False) -> None:
        super().__init__()
        self.off_diagonal, self.gather = off_diagonal, gather

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Loss of two views' ``[B, D]`` projections: a scalar."""
        return barlow_twins_loss(a, b, self.off_diagonal, gather=self.gather)


def _standardise(features: Tensor, eps: float) -> Tensor:
    variance, mean = torch.var_mean(features, dim=0, correction=0)
    return (features - mean) / torch.sqrt(variance + eps)
