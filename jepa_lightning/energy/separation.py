# P Q numbers of pairs
"""How well energies tell true pairs from foreign ones."""

import torch
from torch import Tensor


def auroc(true: Tensor, foreign: Tensor) -> float:
    """Probability that a foreign pair has a higher energy than a true one; equal energies count one half.

    This is the area under the ROC curve of the energy as a detector of foreign pairs, and the statistic of the
    Mann-Whitney test over P * Q: 1 separates all, 0.5 none, below 0.5 foreign pairs have the lower energy.
    Source: Hanley and McNeil, "The meaning and use of the area under a receiver operating characteristic curve", 1982.

    Args:
        true: energies of true pairs, P numbers of any shape.
        foreign: energies of foreign pairs, Q numbers of any shape.

    Raises:
        ValueError: if either has no number, or one that is NaN.

    Example:
        >>> import torch
        >>> from jepa_lightning.energy import auroc
        >>> auroc(torch.tensor([0.1, 0.3]), torch.tensor([0.2, 0.4]))
        0.75
    """
    low, high = true.detach().flatten().double().sort().values, foreign.detach().flatten().double().contiguous()
    for name, energies in (("true", low), ("foreign", high)):
        if not len(energies):
            raise ValueError(f"auroc has no {name} pair to compare: give at least one energy of each kind.")
        if energies.isnan().any():
            raise ValueError(f"auroc: {int(energies.isnan().sum())} of {len(energies)} {name} energies are NaN.")
    lower, not_higher = torch.searchsorted(low, high), torch.searchsorted(low, high, right=True)
    return (lower + not_higher).double().mean().item() / (2 * len(low))
