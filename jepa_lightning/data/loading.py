"""A loader whose every random draw follows from (seed, epoch, index), and which resumes in the middle of an epoch.

So a batch can be replayed, the number of workers changes nothing, and a resumed run sees what an undisturbed one sees.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from jepa_lightning.data.pipelines import Collate, Pipeline
from jepa_lightning.types import Batch


class Draw(NamedTuple):
    """A sample to load, and the seed of everything random about it."""

    index: int
    seed: int


class DrawSampler(DistributedSampler[Any]):
    """The samples of one rank in the order of an epoch, each with its seed.

    Lightning leaves a DistributedSampler in place, on one device and on many, and tells it the epoch.
    """

    start = 0  # samples already seen in this epoch when a run resumes

    def __iter__(self) -> Iterator[Draw]:
        """Yields the draws of the epoch from `start` on."""
        # without shuffling the draws are those of the first epoch: validation sees the same masks every time
        epoch = self.epoch if self.shuffle else 0
        for index in list(super().__iter__())[self.start :]:
            # the hash of a tuple of integers is the same in every process
            yield Draw(index, hash((self.seed, epoch, index)) & 0x7FFF_FFFF_FFFF_FFFF)


class SeededViews(Dataset[Any]):
    """Applies a transform to a data set of (image, labels, path), with the chance that each draw names.

    An image that the data set could not read (None) stays None; the collate leaves it out.
    """

    def __init__(self, source: Dataset[Any], transform: Any) -> None:
        self.source = source
        self.transform = transform

    def __getitem__(self, draw: Draw) -> tuple[int, Any]:
        """The draw's seed and its sample."""
        sample = self.source[draw.index]
        if sample is None:
            return draw.seed, None
        with _seeded(draw.seed):
            views = self.transform(sample[0])
        return draw.seed, (views, *sample[1:])


@dataclass(frozen=True)
class SeededCollate:
    """Collates seeded samples with masks that follow from the first one's seed."""

    collate: Collate

    def __call__(self, samples: Sequence[tuple[int, Any]]) -> Batch:
        """Stacks the samples that could be read.

        Raises:
            RuntimeError: if none of them could.
        """
        readable = [sample for _, sample in samples if sample is not None]
        if not readable:
            raise RuntimeError(f"none of the {len(samples)} images of a batch could be read: see the warnings above.")
        with _seeded(samples[0][0]):
            return self.collate(readable)


class ResumableDataLoader(DataLoader[Any]):
    """A DataLoader that Lightning's checkpoints remember the place of, in batches of the current epoch."""

    taken = 0
    _resume_at = 0

    def __iter__(self) -> Any:
        """Iterates over what is left of the epoch."""
        self.taken, self._resume_at = self._resume_at, 0
        assert isinstance(self.sampler, DrawSampler)
        self.sampler.start = self.taken * (self.batch_size or 1)
        for batch in super().__iter__():
            self.taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The number of batches taken from the epoch; 0 once it is through."""
        return {"batches": self.taken % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Starts the next iteration after that many batches."""
        self._resume_at = state["batches"]


def seeded_loader(
    source: Dataset[Any],
    pipeline: Pipeline,
    *,
    train: bool,
    shuffle: bool,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    **options: Any,
) -> DataLoader[Any]:
    """A loader over a data set of (image, labels, path).

    Args:
        source: gives the samples.
        pipeline: gives transform and collate.
        train: use the training views, drop the last incomplete batch and resume in the middle of an epoch.
        shuffle: draw a new order every epoch.
        seed: of the order, the views and the masks.
        rank: of this process among those that share the samples.
        world_size: number of those.
        options: passed on to the DataLoader.
    """
    sampler = DrawSampler(source, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed)
    loader = ResumableDataLoader if train else DataLoader
    return loader(
        SeededViews(source, pipeline.transform if train else pipeline.eval_transform),
        sampler=sampler,
        collate_fn=SeededCollate(pipeline.collate),
        drop_last=train,
        **options,
    )


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Runs a block with torch's global generator at a seed, and puts it back."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
