# T steps of an epoch
"""Which steps are of clips and which of images, and which samples each of them has."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal, NamedTuple

import torch

from jepa_lightning.data.draws import DrawSampler, SampleDraw
from jepa_lightning.data.seeded_samples import SeededViews
from jepa_lightning.seeding import seed_from

Mixing = Literal["steps", "ranks"]


class ImageDraws(NamedTuple):
    """The images that stand in the place of one clip."""

    draws: tuple[SampleDraw, ...]


@dataclass(frozen=True)
class Mixture:
    """An epoch: each clip once, in whole batches, and as many images as come in between.

    Attributes:
        clips: number of clips.
        images: number of images; an epoch that needs more has them again in another order.
        share: of the steps, or of the ranks, that are of images.
        mixing: ``steps`` of both kinds take turns on all ranks; or some ``ranks``, the last ones, have images alone.
        batch: clips in a batch.
        per_clip: images in the place of a clip.
        rank: of this process.
        world: number of ranks.

    Raises:
        ValueError: if there is no rank for one of the two.
    """

    clips: int
    images: int
    share: float
    mixing: Mixing
    batch: int
    per_clip: int = 1
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        """Refuses one rank for two kinds."""
        if self.mixing == "ranks" and self.world < 2:
            raise ValueError("mixing='ranks' needs 2 devices or more: set mixing to steps.")

    @property
    def image_ranks(self) -> int:
        """Number of ranks that have images in the same step."""
        if self.mixing == "steps":
            return self.world
        return min(max(round(self.share * self.world), 1), self.world - 1)

    @property
    def clip_ranks(self) -> int:
        """Number of ranks that have clips in the same step."""
        return self.world if self.mixing == "steps" else self.world - self.image_ranks

    @property
    def steps(self) -> int:
        """T, until all clips have been seen but for an incomplete batch."""
        of_clips = self.clips // (self.batch * self.clip_ranks)
        if self.mixing == "ranks":
            return of_clips
        share = self._fraction
        last = math.ceil(of_clips / (1 - share))
        while last and (last - 1) - math.ceil((last - 1) * share) >= of_clips:
            last -= 1
        return last

    def is_image(self, step: int) -> bool:
        """Whether a step of this rank is of images; where they take turns, images come first."""
        if self.mixing == "ranks":
            return self.rank >= self.clip_ranks
        return math.ceil((step + 1) * self._fraction) > math.ceil(step * self._fraction)

    def step(self, number: int) -> "Step":
        """What a step of this rank is of."""
        image = self.is_image(number)
        if self.mixing == "ranks":
            before, rank = number, self.rank - (self.clip_ranks if image else 0)
        else:
            of_images = math.ceil(number * self._fraction)
            before, rank = of_images if image else number - of_images, self.rank
        ranks, size = (self.image_ranks, self.batch * self.per_clip) if image else (self.clip_ranks, self.batch)
        start = (before * ranks + rank) * size
        return Step(image, before, range(start, start + size))

    @property
    def _fraction(self) -> Fraction:
        # steps are counted in whole numbers: a tenth as a float is a little more
        return Fraction(self.share).limit_denominator(10_000)


class Step(NamedTuple):
    """A batch of one kind.

    Attributes:
        image: whether it is of images.
        before: number of batches of its kind before it, on each rank that has them.
        places: of its samples in the order of their kind.
    """

    image: bool
    before: int
    places: range


class MixedSampler(DrawSampler):
    """The draws of one rank in the order of an epoch: those of a batch are all clips, or all images.

    Args:
        views: of the clips.
        mixture: which step has which.
        seed: of order, views and masks.
    """

    elastic: ClassVar[bool] = False

    def __init__(self, views: SeededViews, mixture: Mixture, seed: int) -> None:
        super().__init__(views, num_replicas=mixture.world, rank=mixture.rank, seed=seed)
        self.mixture = mixture
        self.num_samples = mixture.steps * mixture.batch

    def __iter__(self) -> Iterator[SampleDraw | ImageDraws]:  # type: ignore[override]
        """Yields the draws of the epoch from `start` on."""
        mixture, kinds = self.mixture, [seed_from(self.seed, self.epoch, kind) for kind in (0, 1)]
        orders = _Order(mixture.clips, kinds[0]), _Order(mixture.images, kinds[1])
        for place in range(self.start, self.num_samples):
            number, row = divmod(place, mixture.batch)
            image, before, places = mixture.step(number)
            # the same on all ranks of the kind, however the two are mixed
            shared = seed_from(kinds[image], -1 - before * mixture.batch - row)
            each = mixture.per_clip if image else 1
            found = [
                SampleDraw(orders[image][i], seed_from(kinds[image], i), shared)
                for i in places[row * each : (row + 1) * each]
            ]
            yield ImageDraws(tuple(found)) if image else found[0]


class _Order:
    """Permutations of some samples, one behind another without end."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed = size, seed
        self._round, self._order = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, place: int) -> int:
        number, index = divmod(place, self.size)
        if number != self._round:
            generator = torch.Generator().manual_seed(seed_from(self.seed, number))
            self._round, self._order = number, torch.randperm(self.size, generator=generator)
        return int(self._order[index])
