# B batch of one rank, G joint batch of all ranks, D width
"""Variance and covariance terms that keep features from collapsing.

Source: VICReg, arXiv 2105.04906. The invariance term is a ``prediction_loss`` with distance ``l2``.
"""

import torch
from torch import Tensor, nn

from jepa_lightning.losses.moments import Moments, moments
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
    check_samples("variance_loss", features, gather=gather)
    return _hinge(moments([features], [], gather), 0, target_std, eps)


def covariance_loss(features: Tensor, gather: bool = False) -> Tensor:
    """Sum of the squared covariances between different features, over D.

    The covariance is unbiased: its sum of products is divided by G - 1.

    Args:
        features: ``[B, D]``.
        gather: take the statistic over the samples of all ranks instead of those of this rank.

    Returns:
        A scalar in float32, 0 where the features are uncorrelated over the batch.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    check_samples("covariance_loss", features, gather=gather)
    return _off_diagonal(moments([features], [(0, 0)], gather), 0)


class VarianceCovariance(nn.Module):
    """``variance * variance_loss + covariance * covariance_loss``, by default with VICReg's weights.

    Args:
        variance: weight of the variance term.
        covariance: weight of the covariance term.
        target_std: standard deviation that each feature should reach.
        gather: take the statistic over the samples of all ranks instead of those of this rank.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import VarianceCovariance
        >>> features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> loss = VarianceCovariance(covariance=0.0)
        >>> loss(3 * features), loss(torch.ones(8, 4)) > 0  # only features that do not vary are penalized
        (tensor(0.), tensor(True))
    """

    def __init__(
        self, variance: float = 25.0, covariance: float = 1.0, target_std: float = 1.0, gather: bool = False
    ) -> None:
        super().__init__()
        self.variance = variance
        self.covariance = covariance
        self.target_std = target_std
        self.gather = gather

    def forward(self, *views: Tensor) -> Tensor:
        """Penalty of ``[B, D]`` features, a scalar; of several views the mean."""
        for features in views:
            check_samples("VarianceCovariance", features, gather=self.gather)
        found = moments(views, [(i, i) for i in range(len(views))], self.gather)
        each = [
            self.variance * _hinge(found, i, self.target_std, 1e-4) + self.covariance * _off_diagonal(found, i)
            for i in range(len(views))
        ]
        return torch.stack(each).mean()


def _hinge(found: Moments, view: int, target_std: float, eps: float) -> Tensor:
    std = torch.sqrt(found.squares[view] / (found.number - 1) + eps)
    return torch.relu(target_std - std).mean()


def _off_diagonal(found: Moments, pair: int) -> Tensor:
    covariance = found.products[pair] / (found.number - 1)
    return (covariance - torch.diag(covariance.diagonal())).square().sum() / len(covariance)
