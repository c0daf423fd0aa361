# B batch of one rank, G joint batch of all ranks, D width
"""Variance and covariance terms that keep features from collapsing.

Source: VICReg, arXiv 2105.04906. The invariance term is a ``prediction_loss`` with distance ``l2``.
"""

import torch
from torch import Tensor, nn

from jepa_lightning.distributed import sum_over_ranks
from jepa_lightning.losses.samples import check_samples


def variance_loss(features: Tensor, target_std: float = 1.0, eps: float = 1e-4, gather: bool = False) -> Tensor:
    """Hinge on each feature's standard deviation over the batch, averaged over D.

    The variance is unbiased: its sum of squares is divided by G - 1.

    Args:
        features: ``[B, D]``.
        target_std: what each feature's standard deviation should reach.
        eps: added to the variance, so that the root has a gradient at 0.
        gather: over the samples of all ranks, G, of which each may have another number; without it G is B.

    Returns:
        A scalar in float32, 0 where every feature varies enough.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    check_samples("variance_loss", features)
    centred, number = _centred(features, gather)
    squares = centred.square().sum(dim=0)
    std = torch.sqrt((sum_over_ranks(squares) if gather else squares) / (number - 1) + eps)
    return torch.relu(target_std - std).mean()


def covariance_loss(features: Tensor, gather: bool = False) -> Tensor:
    """Sum of the squared covariances between different features, over D.

    The covariance is unbiased: its sum of products is divided by G - 1.

    Args:
        features: ``[B, D]``.
        gather: as in ``variance_loss``.

    Returns:
        A scalar in float32, 0 where the features are uncorrelated over the batch.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    check_samples("covariance_loss", features)
    centred, number = _centred(features, gather)
    # autocast would multiply in half precision, where small covariances drown
    with torch.autocast(features.device.type, enabled=False):
        products = centred.T @ centred
    covariance = (sum_over_ranks(products) if gather else products) / (number - 1)
    off_diagonal = covariance - torch.diag(covariance.diagonal())
    return off_diagonal.square().sum() / features.shape[1]


class VarianceCovariance(nn.Module):
    """``variance * variance_loss + covariance * covariance_loss``, by default with VICReg's weights.

    Args:
        variance: weight of the variance term.
        covariance: weight of the covariance term.
        target_std: as in ``variance_loss``.
        gather: as in ``variance_loss``.
    """

    def __init__(
        self, variance: float = 25.0, covariance: float = 1.0, target_std: float = 1.0, gather: bool = False
    ) -> None:
        super().__init__()
        self.variance = variance
        self.covariance = covariance
        self.target_std = target_std
        self.gather = gather

    def forward(self, features: Tensor) -> Tensor:
        """Penalty of ``[B, D]`` features: a scalar."""
        spread = variance_loss(features, self.target_std, gather=self.gather)
        return self.variance * spread + self.covariance * covariance_loss(features, self.gather)


def _centred(features: Tensor, gather: bool) -> tuple[Tensor, Tensor | int]:
    """Features less their mean over the batch, and the size of that."""
    features = features.float()
    if not gather:
        return features - features.mean(dim=0), len(features)
    number = sum_over_ranks(features.new_tensor(len(features)))
    return features - sum_over_ranks(features.sum(dim=0)) / number, number
