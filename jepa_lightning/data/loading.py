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
from jepa_lightning.data.video_file import UnreadableVideoError
from jepa_lightning.types import Batch


class Draw(NamedTuple):
    """A sample to load, and the seed of everything random about it."""

    sample: int
    seed: int


class DrawSampler(DistributedSampler[Any]):
    """The samples of one rank in the order of an epoch, each with its seed.

    Lightning leaves a DistributedSampler in place, on one device and on many, and tells it the epoch.
    """

    start = 0  # samples already seen in this epoch when a run resumes

    def order(self) -> list[int]:
        """The samples of this rank in this epoch."""
        return list(super().__iter__())

    def __iter__(self) -> Iterator[Draw]:
        """Yields the draws of the epoch from `start` on."""
        # without shuffling the draws are those of the first epoch: validation sees the same masks every time
        epoch = self.epoch if self.shuffle else 0
        for sample in self.order()[self.start :]:
            # the hash of a tuple of integers is the same in every process
            yield Draw(sample, hash((self.seed, epoch, sample)) & 0x7FFF_FFFF_FFFF_FFFF)


class SeededViews(Dataset[Any]):
    """Applies a transform to a data set of (image, labels, path), with the chance that each draw names.

    What the data set could not read (None) stays None, as what turns out unreadable when frames are decoded becomes
    None; the collate leaves it out.
    """

    def __init__(self, source: Dataset[Any], transform: Any) -> None:
        self.source = source
        self.transform = transform

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.source)  # type: ignore[arg-type]

    def __getitem__(self, draw: Draw | int) -> tuple[int, Any]:
        """The draw's seed and its sample; a plain number, as from the sampler of `overfit_batches`, is its own seed."""
        index, seed = draw if isinstance(draw, Draw) else Draw(draw, draw)
        sample = self.source[index]
        if sample is None:
            return seed, None
        try:
            with _seeded(seed):
                views = self.transform(sample[0])
        except UnreadableVideoError:  # which its data set has counted
            return seed, None
        return seed, (views, *sample[1:])


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
            raise RuntimeError(f"none of the {len(samples)} samples of a batch could be read: see the warnings above.")
        # not the very seed of that sample's view: the two draws must not depend on each other
        with _seeded(samples[0][0] ^ 1):
            return self.collate(readable)


class ResumableDataLoader(DataLoader[Any]):
    """A DataLoader that Lightning's checkpoints remember the place of, in batches of the current epoch."""

    _taken = 0
    _place = (0, 0)  # epoch and batch to go on from

    def __iter__(self) -> Any:
        """Iterates over what is left of the epoch."""
        epoch, batches = self._place
        self._taken, self._place = 0, (0, 0)
        # overfit_batches puts another sampler in the place of ours: it has no epochs and starts at 0
        if isinstance(self.sampler, DrawSampler):
            self._taken = batches if epoch == self.sampler.epoch else 0
            self.sampler.start = self._taken * (self.batch_size or 1)
        for batch in super().__iter__():
            self._taken += 1
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, and the number of batches taken from it; 0 once it is through."""
        return {"epoch": getattr(self.sampler, "epoch", 0), "batches": self._taken % len(self)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Starts that epoch after that many batches; another epoch starts at its beginning.

        A run that takes only a part of each epoch (`limit_train_batches`) may have ended one in its middle.
        """
        self._place = state["epoch"], state["batches"]


def seeded_loader(
    source: Dataset[Any],
    pipeline: Pipeline,
    *,
    train: bool,
    shuffle: bool,
    seed: int,
    rank: int = 0,
    world_size: int = 1,
    sampler_class: type[DrawSampler] = DrawSampler,
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
        sampler_class: gives the order.
        options: passed on to the DataLoader.
    """
    # an incomplete last round of the ranks is dropped in training; elsewhere they repeat samples to have equally many
    sampler = sampler_class(source, num_replicas=world_size, rank=rank, shuffle=shuffle, seed=seed, drop_last=train)
    loader = ResumableDataLoader if train else DataLoader
    return loader(
        SeededViews(source, pipeline.transform if train else pipeline.eval_transform),
        sampler=sampler,
        collate_fn=SeededCollate(pipeline.collate),
        drop_last=train,
        # else every epoch takes a number from the generator of the model
        generator=torch.Generator().manual_seed(seed),
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
