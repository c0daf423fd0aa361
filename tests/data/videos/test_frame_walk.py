import os
import re
import warnings
from pathlib import Path

import pytest

from jepa_lightning.data.videos.frame_walk import FrameClip, find_clips


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def clips(root: Path, folder: str = "", fps: float | None = None) -> list[FrameClip]:
    return find_clips(root, root / folder, (".png", ".jpg"), fps)


def test_clips_are_labeled_by_the_folders_that_they_are_in(tmp_path: Path) -> None:
    fill(tmp_path, "val/b/映画 1/1.PNG", "val/a/2/1.png", "val/a/2/2.jpg", "val/a/.hidden/1.png", "val/a/10/1.png")
    (tmp_path / "val/b/empty").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = clips(tmp_path, "val", 12.5)
    assert found == [
        ("val/a/10", "a", 12.5), ("val/a/2", "a", 12.5), ("val/b/empty", "b", 12.5), ("val/b/映画 1", "b", 12.5)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("1.png", "{}/1.png does not lie in the folder of a clip: expected CLASS/CLIP/*, "),
        ("a/1.png", "{}/a/1.png does not lie in the folder of a clip: expected CLASS/CLIP/*, "),
        ("a/x/more/1.png", "{}/a/x is the folder of a clip and holds the folder more: expected CLASS/CLIP/*, "),
    ],
)
def test_frames_elsewhere_are_refused_by_name(tmp_path: Path, name: str, message: str) -> None:
    fill(tmp_path, "a/x/1.png", name)
    with pytest.raises(ValueError, match=re.escape(message.format(tmp_path))) as error:
        clips(tmp_path)
    assert "\n" not in str(error.value)


def test_what_holds_no_clips_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    with pytest.raises(ValueError, match="file is not a folder"):
        clips(tmp_path, "file")
    with pytest.raises(FileNotFoundError, match=re.escape(f"there is no folder {tmp_path / 'none'}.")):
        clips(tmp_path, "none")
    (tmp_path / "a").mkdir()
    with pytest.warns(UserWarning, match="1 files"), pytest.raises(FileNotFoundError, match="no folders of frames in"):
        clips(tmp_path)


def test_files_with_other_endings_are_counted(tmp_path: Path) -> None:
    fill(tmp_path, "readme.md", "a/list.txt", "a/x/1.png", "a/x/sound.wav", "a/x/list.TXT", "a/y/1.avif")
    message = (
        r"5 files in .* are not read as frames, .*: .txt \(2\), .md \(1\), .wav \(1\), .avif \(1\)\. .* .png, .jpg\."
    )
    with pytest.warns(UserWarning, match=message):
        assert [clip.path for clip in clips(tmp_path)] == ["a/x", "a/y"]


def test_a_clip_that_links_reach_again_counts_once(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "b/x/1.png", "b/x/2.png")
    fill(tmp_path, "store/y/1.png")
    (root / "a").mkdir()
    os.symlink("../b/x", root / "a/x")
    os.symlink("b", root / "c")
    os.symlink(tmp_path / "store/y", root / "a/y")
    with pytest.warns(UserWarning, match=r"2 entries in .* links to what is found elsewhere: .*/a/x, .*/c/x\."):
        assert clips(root) == [("a/y", "a", None), ("b/x", "b", None)]


def test_a_link_to_a_folder_above_is_refused(tmp_path: Path) -> None:
    os.symlink("..", fill(tmp_path, "a/x/1.png") / "a/loop")
    with pytest.raises(ValueError, match=r"a/loop is the folder of a clip and holds the folder a"):
        clips(tmp_path)


def test_frames_may_be_links_that_clips_share(tmp_path: Path) -> None:
    fill(tmp_path, "a/x/1.png", "a/x/2.png")
    (tmp_path / "a/y").mkdir()
    os.symlink("../x/2.png", tmp_path / "a/y/1.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [clip.path for clip in clips(tmp_path)] == ["a/x", "a/y"]
