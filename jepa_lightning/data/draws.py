"""The order of the samples of an epoch, each with the seed of all that is random about it.

Ranks see different samples, and so draw different crops and masks; what must be equal on all of them, the size of
masked blocks, follows from (seed, epoch, place in the epoch).
"""

from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

from torch.utils.data import DistributedSampler

from jepa_lightning.seeding import seed_from


class SampleDraw(NamedTuple):
    """A sample to load, the seed of everything random about it, and one that all ranks have at this place."""

    sample: int
    seed: int
    shared: int


class DrawSampler(DistributedSampler[Any]):
    """The samples of one rank in the order of an epoch, each with its seed.

    Lightning leaves a DistributedSampler in place, on one device and on many, and tells it the epoch.

    Attributes:
        start: samples already seen in this epoch when a run resumes.
        elastic: whether the first samples of all ranks together are the same ones for any number of ranks.
        takes_all: whether every sample of the data set may come, so that probes draw theirs without an epoch of keys.
    """

    start = 0
    elastic: ClassVar[bool] = True
    takes_all: ClassVar[bool] = True

    def order(self) -> list[int]:
        """The samples of this rank in this epoch."""
        return list(super().__iter__())

    def __iter__(self) -> Iterator[SampleDraw]:
        """Yields the draws of the epoch from `start` on."""
        # without shuffling the draws are those of the first epoch: validation sees the same masks every time
        epoch = self.epoch if self.shuffle else 0
        for place, sample in enumerate(self.order()[self.start :], self.start):
            yield SampleDraw(sample, seed_from(self.seed, epoch, sample), seed_from(self.seed, epoch, -1 - place))
