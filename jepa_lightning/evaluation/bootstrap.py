# S samples, K numbers of an output, R draws
"""Metrics of many draws of the samples with replacement, all of them at once."""

import torch
from torch import Tensor

from jepa_lightning.probing.label_kinds import LabelKind, ValueLabel

DRAWS = 1000


def bootstrap_interval(
    kind: LabelKind, outputs: Tensor, target: Tensor, level: float, seed: int
) -> tuple[float, float]:
    """Percentiles of R2, or of the mean average precision, over 1,000 draws.

    Args:
        kind: of values or tags.
        outputs: ``[S, K]``, in the units of the target.
        target: ``[S, K]``, of samples that all have the label.
        level: of confidence.
        seed: of the draws.
    """
    weights = draw_weights(len(outputs), seed)
    found = (weighted_r2 if isinstance(kind, ValueLabel) else weighted_map)(outputs.double(), target.double(), weights)
    low, high = found.nanquantile(torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=found.dtype)).tolist()
    return low, high


def draw_weights(samples: int, seed: int) -> Tensor:
    """How often each sample is in each of 1,000 draws with replacement, ``[R, S]``.

    Args:
        samples: S.
        seed: of the draws.
    """
    drawn = torch.randint(samples, (DRAWS, samples), generator=torch.Generator().manual_seed(seed))
    return torch.stack([torch.bincount(each, minlength=samples).double() for each in drawn])


def weighted_r2(outputs: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """R2 averaged over the columns, for each row of ``[R, S]`` weights of the samples: ``[R]``."""
    share = weights / weights.sum(dim=1, keepdim=True)
    mean = target.mean(dim=0)
    centered = target - mean  # so that squares of large numbers do not drown the variance
    variance = share @ centered.square() - (share @ centered).square()
    variance = variance.where(variance > 1e-12 * mean.square(), torch.nan)
    return (1 - (share @ (outputs - target).square()) / variance).nanmean(dim=1)


def weighted_map(outputs: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Average precision averaged over the tags that are there, for each row of ``[R, S]`` weights: ``[R]``."""
    each = []
    for scores, truth in zip(outputs.T, target.T, strict=True):
        order = scores.argsort(descending=True)
        drawn, right = weights[:, order], weights[:, order] * truth[order]
        # samples of a draw that are left out have no precision of their own
        precision = right.cumsum(dim=1) / drawn.cumsum(dim=1).clamp(min=1e-12)
        each.append((precision * right).sum(dim=1) / right.sum(dim=1))
    return torch.stack(each).nanmean(dim=0)
