import os
from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from jepa_lightning.data import ClipSampler
from jepa_lightning.data.videos.frame_folder import FrameFolder
from jepa_lightning.data.videos.video import UnreadableVideoError


def fill(folder: Path, names: Iterable[str]) -> Path:
    """Gray frames of 4 x 6, each as bright as the number of its place."""
    folder.mkdir(exist_ok=True)
    for place, name in enumerate(names):
        Image.new("RGB", (6, 4), (place,) * 3).save(folder / name)
    return folder


def places(frames: Tensor) -> list[int]:
    assert frames.shape[1:] == (3, 4, 6)
    assert frames.dtype == torch.uint8
    return [int(value) for value in frames.flatten(1).float().mean(1)]


@pytest.mark.parametrize(
    "names",
    [
        [f"frame{i}.png" for i in range(1, 13)],
        [f"{i:05}.png" for i in range(98, 103)],
        ["a2b9.png", "a2b10.png", "a10b1.png", "b.png", "b1.BMP"],
        ["01.png", "1.png", "2.png"],
        [f"clip 7_-{i}.png" for i in (1, 2, 30)],
        ["x.png", "x_1.png"],
    ],
)
def test_frames_are_in_the_natural_order_of_their_names(tmp_path: Path, names: list[str]) -> None:
    video = FrameFolder(fill(tmp_path / "clip", names))
    assert video.num_frames == len(names)
    assert places(video.read(range(len(names)))) == list(range(len(names)))
    last = len(names) - 1
    assert places(video.read([last, 0, last])) == [last, 0, last]


def test_a_clip_has_the_rate_that_is_given(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", [f"{i}.png" for i in range(30)])
    assert ClipSampler(4, fps=5)(FrameFolder(folder, fps=10), train=False, place=0) == [0, 2, 4, 6]
    assert ClipSampler(4, step=3)(FrameFolder(folder), train=False, place=1) == [20, 23, 26, 29]
    assert FrameFolder(folder, fps=29.97).fps == 29.97
    with pytest.raises(ValueError, match=r"fps=5 is asked of a video without a frame rate: .*frames_fps"):
        ClipSampler(4, fps=5)(FrameFolder(folder), train=False)


def test_only_shown_files_with_the_ending_of_an_image_are_frames(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["1.png", "2.png"])
    fill(folder, [".3.png"])
    (folder / "4.txt").write_text("no frame")
    (folder / "5.gif").write_bytes(b"")
    assert FrameFolder(folder).num_frames == 2


def test_only_the_frames_that_are_asked_for_are_opened(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes(b"")
    video = FrameFolder(folder)
    assert places(video.read([0, 2])) == [0, 2]
    with pytest.raises(UnreadableVideoError, match=r"frame 2.png: cannot identify"):
        video.read([0, 1])


def test_folders_that_make_no_video_are_unreadable(tmp_path: Path) -> None:
    with pytest.raises(UnreadableVideoError, match=r"cannot list .*: No such file"):
        FrameFolder(tmp_path / "none")
    with pytest.raises(UnreadableVideoError, match="it holds no frames"):
        FrameFolder(tmp_path)
    folder = fill(tmp_path / "clip", ["1.png", "2.png", "2.jpg"])
    with pytest.raises(UnreadableVideoError, match="it holds 2 frames of the name '2', with different endings"):
        FrameFolder(folder)
    (folder / "2.jpg").unlink()
    Image.new("RGB", (6, 5)).save(folder / "2.png")
    with pytest.raises(UnreadableVideoError, match="its frames differ in size"):
        FrameFolder(folder).read([0, 1])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_and_links_to_nothing_are_frames_that_cannot_be_read(tmp_path: Path) -> None:
    folder = fill(tmp_path / "clip", ["1.png"])
    os.mkfifo(folder / "2.png")
    os.symlink("nothing.png", folder / "3.png")
    video = FrameFolder(folder)
    assert video.num_frames == 3
    with pytest.raises(UnreadableVideoError, match=r"frame 2.png: it is not a regular file"):
        video.read([1])
    with pytest.raises(UnreadableVideoError, match=r"frame 3.png: .*No such file"):
        video.read([2])
