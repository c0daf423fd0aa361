from bisect import bisect_right
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.data import ClipSampler
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.video import UnreadableVideoError

pytest.importorskip("av")

Make = Callable[..., Path]
Decode = Callable[[Path], Tensor]
CODECS = ["h264.mp4", "open.mkv", "vp9.webm", "av1.mp4", "mpeg4.mp4", "mpeg4.avi", "whole.gif"]


@pytest.mark.parametrize("name", CODECS)
def test_frames_are_those_of_a_full_decode_in_the_order_asked_for(
    make_video: Make, decode_all: Decode, name: str
) -> None:
    path = make_video(name)
    video, frames = VideoFile(path), decode_all(path)
    assert len(frames.flatten(1).unique(dim=0)) == 30
    assert (video.num_frames, video.times) == (30, pytest.approx(np.arange(30) / 10, abs=0.006))
    assert video.fps == pytest.approx(10, rel=1e-3)
    generator = torch.Generator().manual_seed(0)
    for count in (1, 1, 1, 1, 2, 2, 3, 4, 5, 6, 8, 12, 30):
        indices = torch.randint(0, 30, (count,), generator=generator).tolist()
        assert torch.equal(video.read(indices), frames[indices]), indices
    for i in range(30):
        assert torch.equal(video.read([i]), frames[[i]]), i
    assert torch.equal(video.read(range(30)), frames)


def test_key_frames_closer_than_the_reordering_are_no_obstacle(make_video: Make, decode_all: Decode) -> None:
    path = make_video("dense.mp4", g=2, bf=1)
    video, frames = VideoFile(path), decode_all(path)
    assert all(torch.equal(video.read([i, 29]), frames[[i, 29]]) for i in range(30))


@pytest.mark.parametrize(("name", "reordered"), [("h264.mp4", 2), ("vp9.webm", 0), ("av1.mp4", 0), ("mpeg4.mp4", 2)])
def test_no_more_is_decoded_than_from_the_key_frame_before(
    make_video: Make, decodings: dict[str, int], name: str, reordered: int
) -> None:
    video = VideoFile(make_video(name, length=60))
    for i in range(60):
        decodings.update(opened=0, decoded=0)
        video.read([i, i, i])
        assert decodings["decoded"] <= 8 + reordered
        assert decodings["opened"] == 1
    decodings.update(decoded=0)
    video.read(range(30, 42, 2))  # in a row no frame is decoded twice
    assert decodings["decoded"] <= 11 + 8 + reordered


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "mpeg4.avi"])
def test_the_content_of_a_file_is_as_good_as_its_path(make_video: Make, name: str) -> None:
    path = make_video(name)
    there, here = VideoFile(path, 0.5, 2.0), VideoFile(path.read_bytes(), 0.5, 2.0)
    assert here.path is None
    assert here.times == there.times
    assert torch.equal(here.read([9, 2, 14]), there.read([9, 2, 14]))
    with pytest.raises(UnreadableVideoError):
        VideoFile(path.read_bytes()[:100])


@pytest.mark.parametrize("train", [True, False])
def test_a_variable_frame_rate_has_its_own_times_and_clips_follow_them(make_video: Make, train: bool) -> None:
    torch.manual_seed(0)
    gaps = np.random.default_rng(0).choice([20, 40, 170, 600], 29).cumsum().tolist()
    video = VideoFile(make_video("varied.mkv", times=[0, *gaps]))
    assert video.times == pytest.approx([0, *(gap / 1000 for gap in gaps)], abs=1e-9)
    assert video.fps == pytest.approx(29 / gaps[-1] * 1000)
    clips = [ClipSampler(5, fps=4)(video, train) for _ in range(50)]
    ends = [*video.times[1:], float("inf")]
    for clip in clips:  # a start must exist from which each frame is the one on show at its moment
        earliest = max(video.times[frame] - i / 4 for i, frame in enumerate(clip))
        assert earliest < min(ends[frame] - i / 4 for i, frame in enumerate(clip)) + 1e-5
    assert len({tuple(clip) for clip in clips}) > (20 if train else 0)
    # at 1.3 s the frame that came last
    assert VideoFile(video.path, start=1.3).times[0] == 0
    assert VideoFile(video.path, end=1.3).num_frames == bisect_right(gaps, 1299) + 1


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("turns", [0, 1, 2, 3])
def test_frames_are_turned_and_mirrored_as_players_show_them(
    make_video: Make, decode_all: Decode, turns: int, mirrored: bool
) -> None:
    """ISO 14496-12, 6.2.2: a point (p, q) of the frame, q downwards, is shown at (a p + c q + x, b p + d q + y)."""
    path = make_video()
    frames = decode_all(path).numpy()
    # first mirrored from left to right, then turned clockwise: from the right downwards
    expected = np.rot90(frames[..., ::-1] if mirrored else frames, -turns, axes=(2, 3))[[3, 29, 0]].copy()
    cos, sin = [(1, 0), (0, 1), (-1, 0), (0, -1)][turns]
    sign = -1 if mirrored else 1
    matrix = [[sign * cos, sign * sin, 0], [-sin, cos, 0], [0, 0, 1]]
    content = bytearray(path.read_bytes())
    words = b"".join(
        round(v * (1 << (30 if column == 2 else 16))).to_bytes(4, "big", signed=True)
        for row in matrix
        for column, v in enumerate(row)
    )
    at = content.index(b"tkhd") + 4 + 40  # after version, flags, times, number, duration, layer, group and volume
    content[at : at + 36] = words
    path.write_bytes(content)
    assert torch.equal(VideoFile(path).read([3, 29, 0]), torch.from_numpy(expected))


def test_the_film_is_taken_where_a_still_picture_comes_first(make_video: Make, decode_all: Decode) -> None:
    av = pytest.importorskip("av")
    path = make_video()
    both = path.parent / "both.mkv"
    with av.open(str(path)) as film, av.open(str(both), "w") as container:
        still = container.add_stream("mjpeg", rate=10)
        still.width, still.height, still.pix_fmt = 32, 32, "yuvj420p"
        copy = container.add_stream_from_template(film.streams.video[0])
        container.mux(still.encode(av.VideoFrame(32, 32, "yuvj420p")))
        container.mux(still.encode())
        for packet in film.demux(video=0):
            if packet.size:
                packet.stream = copy
                container.mux(packet)
    assert torch.equal(VideoFile(both).read([0, 29]), decode_all(path)[[0, 29]])


def test_a_part_has_the_frames_that_begin_in_it(make_video: Make, decode_all: Decode) -> None:
    path = make_video()
    frames = decode_all(path)
    for start, end, first, last in ((0, 0.5, 0, 5), (1, 2, 10, 20), (0.95, None, 10, 30), (2.9, 9, 29, 30)):
        part = VideoFile(path, start, end)
        assert part.num_frames == last - first
        assert part.times == pytest.approx(np.arange(last - first) / 10)
        assert torch.equal(part.read([part.num_frames - 1, 0]), frames[[last - 1, first]])
    for start, end, text in ((3.0, None, "3 s and its end"), (1.0, 1.0, "1 s and 1 s"), (2.0, 1.0, "2 s and 1 s")):
        with pytest.raises(UnreadableVideoError, match=f"no frame between {text}: it is 2.9 s long"):
            VideoFile(path, start, end)


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "av1.mp4", "mpeg4.mp4"])
def test_far_frames_are_sought_one_by_one(make_video: Make, decodings: dict[str, int], name: str) -> None:
    video = VideoFile(make_video(name, length=60))
    decodings.update(decoded=0)
    video.read([55, 4, 28])
    assert decodings["decoded"] <= 5 + 5 + 8 + 3 * 2  # each from its key frame, and reordering


@pytest.mark.parametrize(("name", "codec"), [("b.avi", "libx264"), ("b.mpg", "mpeg1video"), ("c.mpg", "mpeg2video")])
def test_formats_without_times_are_counted_from_the_start(
    make_video: Make, decode_all: Decode, name: str, codec: str
) -> None:
    path = make_video(name, codec=codec, bf=2, rate=25)
    video, frames = VideoFile(path), decode_all(path)
    assert video.num_frames == len(frames)
    for i in (0, 7, 17, len(frames) - 1):
        assert torch.equal(video.read([i]), frames[[i]]), i
    assert torch.equal(video.read([20, 3]), frames[[20, 3]])
