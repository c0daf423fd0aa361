import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.video import UnreadableVideoError

pytest.importorskip("av")

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.mp4", "ffconcat version 1.0\nfile 'h264.mp4'\n"),
        # whose format ffmpeg knows by the ending
        ("list.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nh264.mp4\n#EXT-X-ENDLIST\n"),
    ],
)
def test_a_list_of_films_does_not_read_its_neighbors(make_video: Make, name: str, content: str) -> None:
    path = make_video().parent / name
    path.write_text(content)
    with pytest.raises(UnreadableVideoError):
        VideoFile(path)


def test_a_list_of_films_in_a_shard_does_not_read_the_working_folder(
    make_video: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(make_video().parent)
    with pytest.raises(UnreadableVideoError):
        VideoFile(b"ffconcat version 1.0\nfile 'h264.mp4'\n")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UnreadableVideoError, match="it is not a regular file"):
        VideoFile(tmp_path / "pipe.mp4")
