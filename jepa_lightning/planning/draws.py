# B episodes, S samples, H steps, A dimension of an action
"""Random numbers of episodes: each has a generator of its own, whichever others are planned with it."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor


def episode_generators(seed: int, episodes: int, first: int = 0) -> list[Generator]:
    """A generator for each of some episodes, the same whichever others there are.

    Args:
        seed: of all of them.
        episodes: how many.
        first: number of the first one.

    Example:
        >>> from jepa_lightning.planning import episode_generators
        >>> [generator.initial_seed() for generator in episode_generators(1, 2)]
        [1000003, 1000004]
    """
    return [Generator().manual_seed(seed * 1_000_003 + first + i) for i in range(episodes)]


def normal(generators: Sequence[Generator], shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Standard normal numbers ``[B, *shape]``, those of an episode from its own generator.

    Args:
        generators: one an episode.
        shape: of the numbers of an episode.
        like: a tensor of the type and on the device that they are to have.
    """
    rows = [torch.randn(shape, generator=generator, device=generator.device) for generator in generators]
    return torch.stack(rows).to(like)


def pick(generators: Sequence[Generator], weights: Tensor) -> Tensor:
    """One column for each row, int64 ``[B]``, with probabilities in proportion to weights.

    Args:
        generators: one an episode.
        weights: ``[B, S]``, not negative.
    """
    rows = [
        torch.multinomial(row.to(generator.device), 1, generator=generator)
        for generator, row in zip(generators, weights, strict=True)
    ]
    return torch.cat(rows).to(weights.device)
