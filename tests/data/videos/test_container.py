import os
from collections.abc import Callable
from pathlib import Path

import pytest

from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.video import UnreadableVideoError

pytest.importorskip("av")

Make = Callable[..., Path]


@pytest.mark.parametrize(
    "content", ["ffconcat version 1.0\nfile 'h264.mp4'\n", "#EXTM3U\n#EXTINF:3,\nh264.mp4\n#EXT-X-ENDLIST\n"]
)
def test_a_list_of_films_does_not_read_its_neighbors(make_video: Make, content: str) -> None:
    path = make_video().parent / "list.mp4"
    path.write_text(content)
    with pytest.raises(UnreadableVideoError):
        VideoFile(path)
    with pytest.raises(UnreadableVideoError):
        VideoFile(content.encode())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(UnreadableVideoError, match="it is not a regular file"):
        VideoFile(tmp_path / "pipe.mp4")
