from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.draws import SampleDraw
from jepa_lightning.data.loading import seeded_loader
from jepa_lightning.data.seeded_samples import SeededCollate, SeededViews
from jepa_lightning.data.videos.clips import ClipSampler, masked_video_pipeline
from jepa_lightning.data.videos.video import UnreadableVideoError
from jepa_lightning.types import Sample


class Numbers(Dataset[Any]):
    """Of which 1 cannot be read."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        return None if index == 1 else (index, index, str(index))


def noise(number: int) -> torch.Tensor:
    if number == 2:
        raise UnreadableVideoError
    return number + torch.rand(1, 1, 1)


VIEWS = SeededViews(Numbers(), noise)


def test_a_view_follows_from_its_seed_and_the_global_generator_stays() -> None:
    before = torch.get_rng_state()
    first, second = VIEWS[SampleDraw(3, 5, 0)][1], VIEWS[SampleDraw(3, 5, 9)][1]
    assert torch.equal(first[0], second[0])
    assert not torch.equal(VIEWS[SampleDraw(3, 6, 0)][1][0], first[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first[0], 3 + torch.rand(1, 1, 1, generator=torch.Generator().manual_seed(5)))


def test_what_cannot_be_read_or_decoded_is_none_and_the_next_sample_stands_in() -> None:
    draws = [SampleDraw(i, i, 0) for i in range(4)]
    assert [VIEWS[draw][1] is None for draw in draws] == [False, True, True, False]
    assert [VIEWS.stand_in(draw)[1] for draw in draws] == [3, 3, 3, 0]


@pytest.mark.parametrize("fill", [False, True])
def test_batches_keep_their_size_where_they_are_filled(fill: bool) -> None:
    collate = SeededCollate(Collate(), VIEWS.stand_in, fill)
    batch = collate([VIEWS[SampleDraw(i, i, 0)] for i in range(4)])
    assert (batch.indices, batch.labels.tolist()) == ((0, 3, -1, -1), [0, 3, -1, -1]) if fill else ((0, 3), [0, 3])
    none = collate([VIEWS[SampleDraw(i, i, 0)] for i in (1, 2)])
    assert (none.indices, none.labels.tolist()) == ((-1,) * (1 + fill), [-1] * (1 + fill))


class Trajectories(Dataset[Any]):
    """Frames whose values are the states of the frames; the action leads from one to the next."""

    def __init__(self, unreadable: tuple[int, ...] = ()) -> None:
        self.unreadable = unreadable

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Any:
        if index in self.unreadable:
            return None
        values = 10 * index + torch.arange(8)
        frames = values.to(torch.uint8)[:, None, None, None].expand(8, 1, 4, 4)
        return Sample(frames, index, f"{index}", {"states": values[:, None].float(), "actions": torch.ones(7, 1)})


@pytest.mark.parametrize("num_workers", [0, 1])
def test_extras_follow_the_frames_of_a_clip_through_workers(num_workers: int) -> None:
    pipeline = masked_video_pipeline((4, 4), ClipSampler(3, step=2), (), mean=(0.0,), std=(1 / 255,), flip=0.0)
    views = seeded_loader(
        Trajectories((1,)), pipeline, train=True, shuffle=True, seed=3, batch_size=4, num_workers=num_workers
    )
    (batch,) = views
    assert batch.views[0].shape == (4, 1, 3, 4, 4)
    torch.testing.assert_close(batch.views[0][:, 0, :, 0, 0], batch.extras["states"].squeeze(2))
    steps = batch.extras["states"].diff(dim=1)
    torch.testing.assert_close(batch.extras["actions"].sum(dim=2, keepdim=True), steps)
    assert sorted(batch.indices) == [-1, 0, 2, 3]  # what cannot be read has a whole sample in its place


def test_extras_are_refused_by_what_would_not_follow() -> None:
    with pytest.raises(TypeError, match=r"have extras \(states, actions\), and function of the pipeline takes images"):
        SeededViews(Trajectories(), noise)[0]
    several = masked_video_pipeline((4, 4), ClipSampler(2), (), mean=(0.0,), std=(1.0,), eval_clips=2)
    with pytest.raises(ValueError, match=r"the extras \(states, actions\) belong to one clip, and 2 are made"):
        SeededViews(Trajectories(), several.eval_transform)[0]
    longer = masked_video_pipeline((4, 4), ClipSampler(9), (), mean=(0.0,), std=(1.0,))
    with pytest.raises(ValueError, match="are not equally far apart"):
        SeededViews(Trajectories(), longer.eval_transform)[0]
