# B batch, D width
"""Uniformity: how evenly features are spread over the unit sphere.

Source: arXiv 2005.10242, section 4.1. Its alignment term is twice a ``prediction_loss`` with distance ``cosine``.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.distributed import gather_samples
from jepa_lightning.losses.samples import check_samples


def uniformity_loss(features: Tensor, sharpness: float = 2.0, gather: bool = False) -> Tensor:
    """Logarithm of the mean Gaussian potential between the directions of different samples.

    It is 0 where all point the same way, and least where they are spread evenly: about -4 + 8 / D for the default
    sharpness and many dimensions.

    Args:
        features: ``[B, D]``, of any length; only directions count.
        sharpness: factor t on the squared distance in the exponent.
        gather: over pairs of the samples of all ranks.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if there is a single sample, or another shape.
    """
    features = gather_samples(features) if gather else features
    check_samples("uniformity_loss", features)
    batch = len(features)
    # autocast would multiply in half precision
    with torch.autocast(features.device.type, enabled=False):
        directions = F.normalize(features.float(), dim=1)
        potential = 2 * sharpness * (directions @ directions.T - 1)
    itself = torch.eye(batch, dtype=torch.bool, device=features.device)
    pairs = potential.masked_fill(itself, -math.inf)
    return pairs.flatten().logsumexp(dim=0) - math.log(batch * (batch - 1))


class Uniformity(nn.Module):
    """``weight * uniformity_loss``.

    Args:
        weight: factor on the loss.
        sharpness: factor t on the squared distance in the exponent.
        gather: take the statistic over the samples of all ranks instead of those of this rank.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import Uniformity
        >>> features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> loss = Uniformity()
        >>> loss(features) < loss(torch.ones(8, 4))  # spread out, against all the same
        tensor(True)
    """

    def __init__(self, weight: float = 1.0, sharpness: float = 2.0, gather: bool = False) -> None:
        super().__init__()
        self.gather = gather
        self.weight = weight
        self.sharpness = sharpness

    def forward(self, *views: Tensor) -> Tensor:
        """Penalty of ``[B, D]`` features, a scalar; of several views the mean."""
        each = [uniformity_loss(features, self.sharpness, self.gather) for features in views]
        return self.weight * torch.stack(each).mean()
