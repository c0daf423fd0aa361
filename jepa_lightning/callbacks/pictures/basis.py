# S tokens of all shown samples, D width
"""Three principal components of tokens, whose colors stay the same from one look to the next."""

import torch
from torch import Tensor
from torch.nn import functional as F

COMPONENTS = 3
TINY = 1e-6  # standard deviation of a component that does not count, over the largest value


def principal_scores(tokens: Tensor, before: Tensor | None = None) -> Tensor:
    """Scores of tokens on their first three principal components, each of variance 1.

    Signs and order of components, and any turn within those that are equally strong, are arbitrary. They are chosen so
    that the scores are as near as possible to those of the same tokens before (orthogonal Procrustes problem:
    Schönemann, Psychometrika 31, 1966); without these, so that the largest score of each component is positive.

    Args:
        tokens: ``[S, D]``.
        before: ``[S, 3]`` of the same tokens at an earlier step.

    Returns:
        ``[S, 3]``, 0 where tokens have fewer components.

    Raises:
        ValueError: if a token is not finite.
    """
    values = tokens.float().cpu()
    if not values.isfinite().all():
        raise ValueError("the features are not finite: lower the learning rate, or look at the data")
    centered = (values - values.mean(dim=0)).double()
    variances, directions = torch.linalg.eigh(centered.T @ centered / len(centered))  # the largest last
    number = min(COMPONENTS, len(variances))
    # what is left of a component that is not there is noise of rounding
    least = (TINY * values.abs().max()).square().clamp_min(torch.finfo(torch.float32).tiny)
    strength = variances[-number:].flip(0)
    found = centered @ directions[:, -number:].flip(1) * strength.clamp_min(least).rsqrt() * (strength > least)
    scores = F.pad(found, (0, COMPONENTS - number))
    if before is None or before.shape != scores.shape:
        largest = scores.gather(0, scores.abs().argmax(dim=0, keepdim=True))
        return (scores * torch.where(largest < 0, -1.0, 1.0)).float()
    first, _, second = torch.linalg.svd(scores.T @ before.double().cpu())
    turned: Tensor = scores @ first @ second
    return turned.float()
