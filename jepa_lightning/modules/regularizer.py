# B batch, D width
"""What keeps the pooled features of different images apart, and those of one image together."""

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from jepa_lightning.losses import Distance, SIGReg, Uniformity, VarianceCovariance, prediction_distance
from jepa_lightning.nn import projection_head

RegularizerName = Literal["variance_covariance", "sigreg", "uniformity"]


class PooledRegularizer(nn.Module):
    """A statistic of the joint batch over the pooled features of each view, and the distance of an image's views.

    Args:
        statistic: takes ``[B, D]`` of each view to a scalar, low where the samples of all ranks differ.
        invariance: weight of the distance between views, averaged over pairs of views.
        distance: between views.
        projector: what features go through first.
    """

    def __init__(
        self, statistic: nn.Module, invariance: float, distance: Distance = "l2", projector: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.statistic = statistic
        self.invariance = invariance
        self.distance: Distance = distance
        self.projector = nn.Identity() if projector is None else projector

    def forward(self, views: Sequence[Tensor]) -> Tensor:
        """Penalty of ``[B, D]`` features of each view: a scalar."""
        projected = [self.projector(features) for features in views]
        penalty: Tensor = self.statistic(*projected)
        pairs = [prediction_distance(a, b, self.distance).mean() for a, b in combinations(projected, 2)]
        return penalty + self.invariance * torch.stack(pairs).mean() if pairs else penalty


def build_regularizer(
    name: RegularizerName | None,
    width: int,
    *,
    variance: float,
    covariance: float,
    sigreg: float,
    uniformity: float,
    invariance: float,
    projector: int | None,
) -> PooledRegularizer | None:
    """Builds the named regularizer for D-dimensional features; returns None where the name is None.

    Uniformity counts directions only, so its views are compared by their cosine.
    """
    if name is None:
        return None
    statistic: nn.Module
    if name == "variance_covariance":
        statistic = VarianceCovariance(variance, covariance, gather=True)
    elif name == "sigreg":
        statistic = SIGReg(weight=sigreg, gather=True)
    else:
        statistic = Uniformity(uniformity, gather=True)
    head = None if projector is None else projection_head(width, projector, projector)
    return PooledRegularizer(statistic, invariance, "cosine" if name == "uniformity" else "l2", head)
