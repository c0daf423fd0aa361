from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from jepa_lightning.data.videos.file import VideoFile
from jepa_lightning.data.videos.files import VideoFiles
from jepa_lightning.data.videos.frame_folder import FrameFolder
from jepa_lightning.data.videos.frame_walk import FrameClip
from jepa_lightning.data.videos.manifest import VideoPart
from jepa_lightning.data.videos.video import UnreadableVideoError

pytest.importorskip("av")


def test_a_sample_is_a_film_a_folder_of_frames_or_an_image(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    make_video("film.mp4")
    (tmp_path / "clip").mkdir()
    for path in ("clip/1.png", "clip/2.png", "still.PNG"):
        Image.new("RGB", (8, 6), "red").save(tmp_path / path)
    parts = VideoFiles(tmp_path, [VideoPart("film.mp4", "a", 1.0, 2.0), VideoPart("still.PNG", "b")], ["a", "b"])
    clips = VideoFiles(tmp_path, [FrameClip("clip", "b", 5.0)], ["a", "b"])
    samples = [parts[0], parts[1], clips[0]]
    assert [(label, path) for _, label, path in samples] == [(0, "film.mp4"), (1, "still.PNG"), (1, "clip")]
    film, still, clip = (video for video, _, _ in samples)
    assert isinstance(film, VideoFile)
    assert isinstance(clip, FrameFolder)
    assert (film.num_frames, clip.num_frames, clip.fps) == (10, 2, 5.0)
    assert np.asarray(still).shape == (6, 8, 3)


@pytest.mark.filterwarnings("ignore:cannot read")
def test_frames_that_cannot_be_decoded_count_against_the_data_set(
    tmp_path: Path, make_video: Callable[..., Path], spoil: Callable[..., Path]
) -> None:
    spoil(make_video("film.mp4"))
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/1.png").touch()
    for record in (VideoPart("film.mp4", None), FrameClip("clip", None, 5.0)):
        files = VideoFiles(tmp_path, [record], [], max_bad_share=1.0)
        video = files[0][0]
        assert not files.bad[0]
        with pytest.raises(UnreadableVideoError):
            video.read([0])
        assert files[0] is None
