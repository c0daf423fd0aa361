from collections import Counter
from typing import Any

import pytest

from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.seeded_samples import SeededViews
from jepa_lightning.data.videos.mixture import ImageDraws, MixedSampler, Mixture


def views(size: int) -> SeededViews:
    return SeededViews(range(size), Pipeline(list, list).transform)  # type: ignore[arg-type]


def epoch(number: int = 0, start: int = 0, **options: Any) -> list[tuple[bool, list[int]]]:
    """Whether each step is of images, and its samples."""
    mixture = Mixture(**{"clips": 12, "images": 5, "share": 0.5, "mixing": "steps", "batch": 2, **options})
    sampler = MixedSampler(views(mixture.clips), mixture, seed=3)
    sampler.set_epoch(number)
    sampler.start = start
    draws = list(sampler)
    assert len(draws) == mixture.steps * 2 - start
    steps = []
    for first in range(0, len(draws), 2):
        batch = draws[first : first + 2]
        image = isinstance(batch[0], ImageDraws)
        each = [draw for group in batch for draw in group.draws] if image else batch  # type: ignore[union-attr]
        steps.append((image, [draw.sample for draw in each]))
    return steps


@pytest.mark.parametrize(
    ("share", "pattern"),
    [(0.5, "ic" * 6), (0.25, "iccciccc"), (0.1, "icccccc"), (0.75, "iiic" * 6), (0.2, "icccciccc"[:8])],
)
def test_steps_take_turns_and_an_epoch_has_every_clip_once(share: float, pattern: str) -> None:
    steps = epoch(share=share)
    assert "".join("i" if image else "c" for image, _ in steps) == pattern
    clips = [sample for image, samples in steps if not image for sample in samples]
    assert sorted(clips) == list(range(12))
    images = [sample for image, samples in steps if image for sample in samples]
    assert set(Counter(images[: len(images) // 5 * 5]).values()) <= {len(images) // 5}  # all of them before any again
    assert set(images) <= set(range(5))


@pytest.mark.parametrize("mixing", ["steps", "ranks"])
def test_ranks_share_the_clips_and_the_images(mixing: Any) -> None:
    ranks = [epoch(mixing=mixing, rank=rank, world=4, share=0.25, clips=24, images=40) for rank in range(4)]
    clips = [sample for steps in ranks for image, samples in steps if not image for sample in samples]
    images = [sample for steps in ranks for image, samples in steps if image for sample in samples]
    assert sorted(clips) == list(range(24))
    assert len(images) == len(set(images)) == 8
    kinds = [[image for image, _ in steps] for steps in ranks]
    expected = [True, False, False, False] if mixing == "steps" else None
    assert all(kind == expected for kind in kinds) if expected else kinds == [[False] * 4] * 3 + [[True] * 4]


def test_images_in_the_place_of_a_clip() -> None:
    steps = epoch(per_clip=3, images=40)
    assert {len(samples) for image, samples in steps if image} == {6}
    assert {len(samples) for image, samples in steps if not image} == {2}


def test_epochs_differ_and_one_that_resumes_sees_the_rest() -> None:
    assert epoch(0) == epoch(0)
    assert epoch(0) != epoch(1)
    assert epoch(1, start=6) == epoch(1)[3:]


def test_seeds_follow_the_sample_and_what_ranks_share_the_place() -> None:
    samplers = [
        MixedSampler(views(12), Mixture(12, 5, 0.5, "steps", 2, 1, rank, 2), seed=3) for rank in range(2)
    ]  # fmt: skip
    one, two = (list(sampler) for sampler in samplers)
    flat = [draw.draws[0] if isinstance(draw, ImageDraws) else draw for draw in (*one, *two)]
    assert len({draw.seed for draw in flat}) == len(flat)
    assert [draw.shared for draw in flat[: len(one)]] == [draw.shared for draw in flat[len(one) :]]


def test_one_rank_is_not_two() -> None:
    with pytest.raises(ValueError, match="mixing='ranks' needs 2 devices or more"):
        Mixture(12, 5, 0.5, "ranks", 2)
