# B batch of one rank, G joint batch of all ranks, D width, V views
"""Second moments of features over a batch, from sums over ranks: no rank sees the samples of another."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from jepa_lightning.distributed import sum_over_ranks, world_size


class Moments(NamedTuple):
    """Sums over G of centered features; an average is theirs over ``number``."""

    number: Tensor | int  # G
    squares: Sequence[Tensor]  # [D] of each view
    products: Sequence[Tensor]  # [D, D] of each pair: of the features of its first view, and those of its second


def moments(views: Sequence[Tensor], pairs: Sequence[tuple[int, int]], gather: bool) -> Moments:
    """Sums of squares and products of features less their mean, in float32.

    Args:
        views: ``[B, D]`` features of each, all of one shape.
        pairs: the views of which products are wanted, one with itself for a covariance.
        gather: over the samples of all ranks, of which each may have another number. Every rank must then make the
            same scalar of them, since gradients are not sent (see ``sum_over_ranks``).

    Returns:
        The sums, with gradients.
    """
    features = torch.stack([view.float() for view in views])  # [V, B, D]
    number, means = _number_and_means(features.detach(), gather)
    # the mean needs no gradient: what it would add is a sum of centered features, which is 0
    centered = features - means[:, None]
    squares = centered.square().sum(dim=1)
    # autocast would multiply in half precision, where small covariances drown
    with torch.autocast(features.device.type, enabled=False):
        products = [centered[i].T @ centered[j] for i, j in pairs]
    if not gather or world_size() == 1:
        return Moments(number, squares.unbind(), products)
    sums = sum_over_ranks(torch.cat([squares, *products]), same_gradient=True)
    squares, *joint = torch.split(sums, [len(views), *(len(each) for each in products)])
    return Moments(number, squares.unbind(), joint)


def _number_and_means(features: Tensor, gather: bool) -> tuple[Tensor | int, Tensor]:
    """G, and the means ``[V, D]``."""
    if not gather:
        return features.shape[1], features.mean(dim=1)
    number = torch.full((1,), features.shape[1], device=features.device, dtype=features.dtype)
    sums = sum_over_ranks(torch.cat([features.sum(dim=1).flatten(), number]))
    return sums[-1], sums[:-1].view(len(features), -1) / sums[-1]
