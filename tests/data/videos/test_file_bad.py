import os
import re
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.data import ClipSampler
from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.index_cache import INDICES
from jepa_lightning.data.videos.video import UnreadableVideoError

av = pytest.importorskip("av")

Make = Callable[..., Path]
Decode = Callable[[Path], Tensor]


def places(video: VideoFile) -> list[int]:
    """The frames of a film at 10 a second, by their times."""
    return [round(10 * time) for time in video.times]


@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "whole.gif"])
def test_a_single_frame_is_a_video_without_rate(make_video: Make, decode_all: Decode, name: str) -> None:
    path = make_video(name, length=1)
    video = VideoFile(path)
    assert (video.num_frames, video.fps, video.times) == (1, None, [0.0])
    assert ClipSampler(3, fps=4)(video, train=True) == [0, 0, 0]
    assert torch.equal(video.read([0, 0, 0]), decode_all(path).expand(3, -1, -1, -1))


@pytest.mark.parametrize("name", ["two words.mp4", "映画 - Käse.mov", "a'b\"c %03d #1?.mkv", "weiß/deep er/1.MP4"])
def test_names_may_hold_anything(make_video: Make, decode_all: Decode, name: str) -> None:
    path = make_video(name, length=12)
    assert torch.equal(VideoFile(str(path)).read([11, 2]), decode_all(path)[[11, 2]])


def test_an_mp4_that_ends_before_its_index_is_unreadable(make_video: Make) -> None:
    path = make_video()
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(UnreadableVideoError, match="moov"):
        VideoFile(path)


@pytest.mark.parametrize("share", [0.4, 0.61, 0.9])
@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.mkv", "libx264"), ("b.mkv", "libsvtav1")])
def test_a_stream_that_ends_early_has_the_frames_that_are_there(
    make_video: Make, decode_all: Decode, name: str, codec: str, share: float
) -> None:
    path = make_video(name, codec=codec)
    frames = decode_all(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    video = VideoFile(path)
    assert 30 * share - 9 < video.num_frames < 30
    assert torch.equal(video.read(range(video.num_frames)), frames[places(video)])
    assert all(torch.equal(video.read([i]), frames[[place]]) for i, place in enumerate(places(video)))


def test_sound_alone_is_unreadable(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    with pytest.raises(UnreadableVideoError, match=r"it has no video stream\."):
        VideoFile(tmp_path / "sound.mp4")


@pytest.mark.parametrize("suffix", ["mp4", "webm", "avi", "gif", "mpg"])
@pytest.mark.parametrize("content", [b"", b"a text, and no video\n" * 40, bytes(5000)])
def test_what_is_no_video_is_unreadable(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"a.{suffix}").write_bytes(content)
    with pytest.raises(UnreadableVideoError):
        VideoFile(tmp_path / f"a.{suffix}")


def test_missing_files_and_folders_are_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideoError, match="No such file or directory"):
        VideoFile(tmp_path / "none.mp4")
    with pytest.raises(UnreadableVideoError, match="it is not a regular file"):
        VideoFile(tmp_path)


@pytest.mark.parametrize("size", [40, 400])
@pytest.mark.parametrize("name", ["h264.mp4", "vp9.webm", "av1.mp4", "mpeg4.mp4", "mpeg4.avi"])
def test_damage_in_the_middle_costs_no_frame_before_it(
    make_video: Make, decode_all: Decode, spoil: Callable[..., Path], name: str, size: int
) -> None:
    """Decoders notice not all damage; what they do notice is an error of ours."""
    path = make_video(name)
    frames = decode_all(path)
    video = VideoFile(spoil(path, start=0.5, size=size))
    assert torch.equal(video.read(range(8)), frames[:8])
    for i in range(8, video.num_frames):
        with suppress(UnreadableVideoError):
            assert video.read([i]).shape == (1, 3, 48, 64)


def test_frames_that_cannot_be_decoded_are_an_error(make_video: Make, spoil: Callable[..., Path]) -> None:
    video = VideoFile(spoil(make_video()))
    assert video.num_frames == 30
    for i in (0, 29):
        with pytest.raises(UnreadableVideoError, match=r"Invalid data|cannot be decoded"):
            video.read([i])


def test_without_pyav_one_line_names_the_extra(make_video: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_video(length=2)
    INDICES.clear()
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=re.escape("pip install 'jepa_lightning[video]'")) as error:
        VideoFile(path)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="needs Linux's list of open files")
def test_files_are_closed_also_the_damaged_ones(make_video: Make, spoil: Callable[..., Path]) -> None:
    good, bad, none = make_video(), spoil(make_video("bad.mp4")), make_video("none.mp4")
    none.write_bytes(b"")

    def read(path: Path) -> None:
        INDICES.clear()
        VideoFile(path).read([20])

    before = len(os.listdir("/proc/self/fd"))
    for _ in range(100):
        read(good)
        for path in (bad, none):
            with pytest.raises(UnreadableVideoError):
                read(path)
    assert len(os.listdir("/proc/self/fd")) == before
