import pytest
import torch
from scipy.stats import chisquare

from jepa_lightning.data import ClipSampler, TensorVideo


def video(num_frames: int, fps: float | None = None) -> TensorVideo:
    return TensorVideo(torch.empty(num_frames, 0, dtype=torch.uint8), fps)


@pytest.mark.parametrize(("num_frames", "step", "length"), [(4, 1, 9), (8, 3, 40), (1, 5, 7), (5, 4, 17)])
def test_a_step_is_exact_and_starts_are_uniform_over_all_that_fit(num_frames: int, step: int, length: int) -> None:
    torch.manual_seed(0)
    sampler, starts = ClipSampler(num_frames, step), length - (num_frames - 1) * step
    clips = [sampler(video(length), train=True) for _ in range(200 * starts)]
    assert all(clip == [clip[0] + i * step for i in range(num_frames)] for clip in clips)
    counts = torch.bincount(torch.tensor([clip[0] for clip in clips]), minlength=starts)
    assert len(counts) == starts
    assert starts == 1 or chisquare(counts.numpy()).pvalue > 0.001


@pytest.mark.parametrize(
    ("source", "asked"), [(30, 10), (30, 7.5), (24, 10), (29.97, 8), (25, 30), (10, 20.0), (60, 7)]
)
@pytest.mark.parametrize("train", [True, False])
def test_frames_are_those_shown_at_evenly_spaced_times(source: float, asked: float, train: bool) -> None:
    torch.manual_seed(0)
    step = source / asked
    for length in (200, 201, int(15 * step) + 2):
        for clip in (ClipSampler(16, fps=asked)(video(length, source), train) for _ in range(50)):
            assert 0 <= clip[0] <= clip[-1] < length
            # frame k is shown from k to k + 1: a start must exist that falls into all 16
            earliest = max(frame - i * step for i, frame in enumerate(clip))
            assert earliest < min(frame + 1 - i * step for i, frame in enumerate(clip)) + 1e-5


def test_frame_rates_of_whole_ratios_are_steps() -> None:
    torch.manual_seed(0)
    clips = [ClipSampler(4, fps=10)(video(14, 30.0), train=True) for _ in range(1000)]
    assert all(clip == [clip[0] + 3 * i for i in range(4)] for clip in clips)
    assert chisquare(torch.bincount(torch.tensor([clip[0] for clip in clips]), minlength=5).numpy()).pvalue > 0.001
    assert ClipSampler(4, fps=10)(video(8, 24.0), train=False) == [0, 2, 4, 7]  # at 0, 2.4, 4.8 and 7.2


@pytest.mark.parametrize("sampler", [ClipSampler(6, step=3), ClipSampler(6, fps=10), ClipSampler(6, fps=11.0)])
@pytest.mark.parametrize("length", [16, 17, 40, 41])
def test_evaluation_takes_the_middle(sampler: ClipSampler, length: int) -> None:
    clip = sampler(video(length, 30.0), train=False)
    assert abs(clip[0] - (length - 1 - clip[-1])) <= 1
    assert clip == sampler(video(length, 30.0), train=False)


@pytest.mark.parametrize("sampler", [ClipSampler(6, step=3), ClipSampler(6, fps=10)])
def test_clips_of_an_evaluation_are_spread_over_the_video(sampler: ClipSampler) -> None:
    film = video(100, 30.0)
    starts = [sampler(film, False, (i + 0.5) / 4)[0] for i in range(4)]
    room = 100 - 15
    assert starts == pytest.approx([room * (i + 0.5) / 4 for i in range(4)], abs=1)
    assert sampler(film, False, 0.0)[0] == 0
    assert sampler(film, False, 1.0)[-1] == 99
    torch.manual_seed(0)
    assert len({sampler(film, True, 0.0)[0] for _ in range(20)}) > 10  # chance has its own place


@pytest.mark.parametrize("train", [True, False])
def test_a_short_video_repeats_its_last_frame(train: bool) -> None:
    assert ClipSampler(8)(video(5), train) == [0, 1, 2, 3, 4, 4, 4, 4]
    assert ClipSampler(5, step=4)(video(10), train) == [0, 4, 8, 9, 9]
    assert ClipSampler(5, fps=10)(video(8, 25.0), train) == [0, 2, 5, 7, 7]
    assert ClipSampler(3)(video(1), train) == [0, 0, 0]


@pytest.mark.parametrize(("num_frames", "step", "fps"), [(0, 1, None), (4, 0, None), (4, 1, 0.0), (4, 1, -2.0)])
def test_what_is_no_clip_is_named(num_frames: int, step: int, fps: float | None) -> None:
    with pytest.raises(ValueError, match=f"num_frames={num_frames}, {step} apart or at fps={fps}: all must be above 0"):
        ClipSampler(num_frames, step, fps)
