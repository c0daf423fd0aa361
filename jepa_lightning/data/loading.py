"""A loader whose every random draw follows from (seed, epoch, index), and which resumes in the middle of an epoch.

So a batch can be replayed, the number of workers changes nothing, and a resumed run sees what an undisturbed one sees.
Ranks see different samples, and so draw different crops and masks; what must be equal on all of them, the size of
masked blocks, follows from (seed, epoch, place in the epoch).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch.utils.data import DataLoader, Dataset, DistributedSampler

from jepa_lightning.data.pipelines import Collate, Pipeline
from jepa_lightning.data.videos.video import UnreadableVideoError
from jepa_lightning.seeding import seed_from
from jepa_lightning.types import Batch


class Draw(NamedTuple):
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

    def __iter__(self) -> Iterator[Draw]:
        """Yields the draws of the epoch from `start` on."""
        # without shuffling the draws are those of the first epoch: validation sees the same masks every time
        epoch = self.epoch if self.shuffle else 0
        for place, sample in enumerate(self.order()[self.start :], self.start):
            yield Draw(sample, seed_from(self.seed, epoch, sample), seed_from(self.seed, epoch, -1 - place))


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

    def __getitem__(self, draw: Draw | int) -> tuple[Draw, Any]:
        """The draw and its sample; a plain number, as from the sampler of `overfit_batches`, is its own seed."""
        draw = draw if isinstance(draw, Draw) else Draw(draw, draw, draw)
        sample = self.source[draw.sample]
        if sample is None:
            return draw, None
        try:
            with _seeded(draw.seed):
                views = self.transform(sample[0])
        except UnreadableVideoError:  # which its data set has counted
            return draw, None
        return draw, (views, *sample[1:])

    def stand_in(self, draw: Draw) -> Any:
        """The next sample that can be read, for one that cannot.

        Raises:
            RuntimeError: if no sample can be read.
        """
        for step in range(1, len(self)):
            _, sample = self[draw._replace(sample=(draw.sample + step) % len(self))]
            if sample is not None:
                return sample
        raise RuntimeError(f"none of the {len(self)} samples could be read: see the warnings above.")


@dataclass(frozen=True)
class SeededCollate:
    """Collates seeded samples with masks that follow from the first one's draw.

    Attributes:
        collate: of the pipeline.
        stand_in: gives another sample for a draw, where a whole batch could not be read.
        fill: whether the batch keeps its size where a sample could not be read: another one of it then stands twice,
            the second time without a label and with index -1. Ranks that compare samples need batches of one size, and
            so does batch normalization in training.
    """

    collate: Collate
    stand_in: Callable[[Draw], Any]
    fill: bool = False

    def __call__(self, samples: Sequence[tuple[Draw, Any]]) -> Batch:
        """Stacks the samples that could be read; where none could, another one of the data set stands in.

        Raises:
            RuntimeError: if no sample of the data set can be read.
        """
        readable = [sample for _, sample in samples if sample is not None]
        indices = tuple(draw.sample for draw, sample in samples if sample is not None)
        if not readable:
            # a batch that is not there would leave other ranks waiting
            readable = [self.stand_in(draw) for draw, _ in samples[: None if self.fill else 1]]
        if self.fill:
            readable += [readable[i % len(readable)] for i in range(len(samples) - len(readable))]
        indices += (-1,) * (len(readable) - len(indices))
        first = samples[0][0]
        # not the very seed of that sample's view: the two draws must not depend on each other
        with _seeded(first.seed ^ 1):
            batch = self.collate(readable, sizes=torch.Generator().manual_seed(first.shared))
        rows = [row for row, index in enumerate(indices) if index < 0]
        for column in batch.labels.values() if isinstance(batch.labels, dict) else (batch.labels,):
            if column is not None:
                column[rows] = math.nan if column.is_floating_point() else -1
        return batch._replace(indices=indices)


class ResumableDataLoader(DataLoader[Any]):
    """A DataLoader that Lightning's checkpoints remember the place of, in samples of all ranks.

    So a run may go on with another number of ranks, and sees what is left of the epoch.
    """

    _taken = 0  # samples of this rank
    _place = (0, 0)  # epoch and sample to go on from

    def __iter__(self) -> Any:
        """Iterates over what is left of the epoch."""
        epoch, samples = self._place
        self._taken, self._place = 0, (0, 0)
        # overfit_batches puts another sampler in the place of ours: it has no epochs and starts at 0
        if isinstance(self.sampler, DrawSampler):
            self._taken = samples // self.sampler.num_replicas if epoch == self.sampler.epoch else 0
            self.sampler.start = self._taken
        for batch in super().__iter__():
            self._taken += self._size
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The epoch, the number of samples taken from it, 0 once it is through, and how many a step takes."""
        taken = self._taken if self._taken < len(self) * self._size else 0
        return {
            "epoch": getattr(self.sampler, "epoch", 0),
            "samples": taken * self._ranks,
            "step": self._size * self._ranks,
            "ranks": self._ranks,
        }

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Starts that epoch after that many samples; another epoch starts at its beginning.

        A run that takes only a part of each epoch (`limit_train_batches`) may have ended one in its middle.
        """
        self._place = state["epoch"], state["samples"]
        if state["samples"] and state["ranks"] != self._ranks and not getattr(self.sampler, "elastic", True):
            rank_zero_warn(
                f"the run goes on in the middle of an epoch on {self._ranks} ranks, and had {state['ranks']}: each of "
                "them reads shards of its own, so that some samples come twice in this epoch and others not at all."
            )
        if (step := self._size * self._ranks) != state["step"]:
            rank_zero_warn(
                f"the run goes on with {step} samples a step, and had {state['step']}: an epoch has another number of "
                "steps now, and so has the schedule. To change nothing keep batch_size times devices the same."
            )

    @property
    def _size(self) -> int:
        return self.batch_size or 1

    @property
    def _ranks(self) -> int:
        return getattr(self.sampler, "num_replicas", 1)


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
    views = SeededViews(source, pipeline.transform if train else pipeline.eval_transform)
    return loader(
        views,
        sampler=sampler,
        collate_fn=SeededCollate(pipeline.collate, views.stand_in, fill=train or world_size > 1),
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
