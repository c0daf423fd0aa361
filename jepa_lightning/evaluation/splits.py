# S samples
"""Parts of a training set: what choices are made on, and draws of a few labeled samples."""

import torch
from torch import Tensor

HELD = 0.2  # of the training samples


def hold_out(target: Tensor, classes: bool, seed: int, share: float = HELD) -> tuple[Tensor, Tensor]:
    """Splits samples at random, each class by itself: a class that has too few for the share stays whole in the first.

    Args:
        target: ``[S]`` class indices, or anything with S rows.
        classes: whether these are class indices.
        seed: of the draw.
        share: for the second part.

    Returns:
        Indices to fit on and indices to choose on, both in order.

    Raises:
        ValueError: if there are too few samples to hold any out.
    """
    groups = target if classes else torch.zeros(len(target), dtype=torch.long)
    order, rank, size = _ranked(groups, seed)
    held = rank < (share * size).long()
    if not held.any():
        raise ValueError(
            f"{len(target)} labeled training samples, {int(size.max())} of a class at most, leave none to choose "
            "options on: give more training samples."
        )
    return order[~held].sort().values, order[held].sort().values


def draw_of_each(target: Tensor, number: int | float, seed: int) -> Tensor:
    """A few samples of each class.

    Args:
        target: class indices ``[S]``.
        number: of samples of each class, or a share of them (at least one) where it is a float.
        seed: of the draw.

    Returns:
        Indices in order.
    """
    order, rank, size = _ranked(target, seed)
    wanted = (number * size).round().clamp(min=1) if isinstance(number, float) else torch.full_like(size, number)
    return order[rank < wanted].sort().values


def _ranked(groups: Tensor, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Samples in a random order, the place of each within its group, and the size of that group."""
    order = torch.randperm(len(groups), generator=torch.Generator().manual_seed(seed))
    _, group, counts = torch.unique(groups[order], return_inverse=True, return_counts=True)
    by_group = group.argsort(stable=True)
    rank = torch.empty_like(by_group)
    rank[by_group] = torch.arange(len(groups)) - (counts.cumsum(0) - counts)[group[by_group]]
    return order, rank, counts[group]
