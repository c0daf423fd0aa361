from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lightning.data.videos.frame_index import find_frames
from jepa_lightning.data.videos.video import UnreadableVideoError

av = pytest.importorskip("av")

Make = Callable[..., Path]


@pytest.mark.parametrize("name", ["h264.mp4", "open.mkv", "vp9.webm", "av1.mp4", "mpeg4.avi"])
def test_times_and_key_frames_are_those_of_a_full_decode(make_video: Make, name: str) -> None:
    path = make_video(name)
    with av.open(str(path)) as container:
        frames = [(frame.pts, frame.key_frame, frame.time_base) for frame in container.decode(video=0)]
    index = find_frames(path)
    assert index.timed
    assert list(index.pts) == [pts for pts, _, _ in frames]
    assert {pts for pts, key, _ in frames if key} <= set(index.keys) < set(index.pts)
    assert index.unit == float(frames[0][2])
    assert find_frames(path.read_bytes()) == index


@pytest.mark.parametrize("name", ["b.mpg", "b.avi"])
def test_frames_without_times_are_numbered(make_video: Make, name: str) -> None:
    path = make_video(name, codec="mpeg1video" if name == "b.mpg" else "libx264", bf=2, rate=25)
    with av.open(str(path)) as container:
        length = sum(1 for _ in container.decode(video=0))
    index = find_frames(path)
    assert (list(index.pts), list(index.keys), index.unit, index.timed) == ([*range(length)], [0], 1 / 25, False)


def test_a_file_without_frames_is_unreadable(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "empty.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    with pytest.raises(UnreadableVideoError):
        find_frames(tmp_path / "empty.mkv")
