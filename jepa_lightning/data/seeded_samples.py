"""Views and masks that follow from the seeds of their draws, and what stands in for samples that cannot be read."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_utilities.core.apply_func import apply_to_collection
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.draws import SampleDraw
from jepa_lightning.data.videos.video import UnreadableVideoError
from jepa_lightning.types import Batch, Sample


class SeededViews(Dataset[Any]):
    """Applies a transform to a data set of (image, labels, path), with the seeds of each draw.

    What the data set could not read (None) stays None, as what turns out unreadable when frames are decoded becomes
    None; the collate leaves it out.
    """

    def __init__(self, source: Dataset[Any], transform: Any) -> None:
        self.source = source
        self.transform = transform

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.source)  # type: ignore[arg-type]

    def __getitem__(self, draw: SampleDraw | int) -> tuple[SampleDraw, Any]:
        """The draw and its sample; a plain number, as from the sampler of `overfit_batches`, is its own seed."""
        draw = draw if isinstance(draw, SampleDraw) else SampleDraw(draw, draw, draw)
        sample = self.source[draw.sample]
        if sample is None:
            return draw, None
        try:
            with _seeded(draw.seed):
                return draw, shown(self.transform, sample)
        except UnreadableVideoError:  # which its data set has counted
            return draw, None

    def stand_in(self, draw: SampleDraw) -> Any:
        """The next sample that can be read, for one that cannot.

        Raises:
            RuntimeError: if no sample can be read.
        """
        for step in range(1, len(self)):
            _, sample = self[draw._replace(sample=(draw.sample + step) % len(self))]
            if sample is not None:
                return sample
        raise RuntimeError(f"none of the {len(self)} samples could be read: see the warnings above.")


def shown(transform: Any, sample: Any) -> Any:
    """A sample with its views in the place of its media.

    Args:
        transform: of media; of a ``Sample``, with its extras, where it ``takes_samples``.
        sample: a tuple of (media, labels, path), or a ``Sample``.

    Raises:
        TypeError: if the sample has extras, and the transform would leave them as they are while it changes the media.
    """
    if not isinstance(sample, Sample):
        return transform(sample[0]), *sample[1:]
    if not sample.extras:
        return sample._replace(media=transform(sample.media))
    if getattr(transform, "takes_samples", False):
        return transform(sample)
    raise TypeError(
        f"the samples have extras ({', '.join(sample.extras)}), and {type(transform).__name__} of the pipeline takes "
        "images alone, so that these would no longer belong to what it gives: use a method for clips, such as "
        "WorldModel, or data without extras."
    )


@dataclass(frozen=True)
class SeededCollate:
    """Collates seeded samples with masks that follow from the first one's draw.

    Attributes:
        collate: of the pipeline.
        stand_in: gives another sample for a draw, where a whole batch could not be read.
        fill: whether the batch keeps its size where a sample could not be read: a duplicate of another sample takes its
            place, without a label and with index -1. Ranks that compare samples need batches of one size, and
            so does batch normalization in training.
    """

    collate: Collate
    stand_in: Callable[[SampleDraw], Any]
    fill: bool = False

    def __call__(self, samples: Sequence[tuple[SampleDraw, Any]]) -> Batch:
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
        batch = batch._replace(indices=indices)
        # Where shared memory or descriptors run out here, the worker reports it. Multiprocessing would need them in
        # another thread, which prints the error and loses the batch, and the run would wait for it forever.
        return batch if get_worker_info() is None else apply_to_collection(batch, Tensor, Tensor.share_memory_)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Runs a block with torch's global generator at a seed, and puts it back."""
    state = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(state)
