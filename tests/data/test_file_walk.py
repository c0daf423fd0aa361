import os
import re
import warnings
from pathlib import Path

import pytest

from jepa_lightning.data.file_walk import find_files


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")
    return root


def paths(root: Path) -> list[str]:
    return [file.path for file in find_files(root, root, (".png",), "images")]


@pytest.mark.filterwarnings("ignore:. entries in")
def test_links_to_folders_above_are_not_entered(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "a/1.png", "b/2.png")
    fill(tmp_path, "beside/3.png")
    os.symlink("..", root / "a/loop")
    os.symlink("../..", root / "a/above")
    os.symlink("../b", root / "a/a link comes before b")
    os.symlink("..", root / "b/loop")
    os.symlink("x", root / "b/y")
    os.symlink("y", root / "b/x")
    assert paths(root) == ["a/1.png", "b/2.png"]


def test_links_to_files_count_once(tmp_path: Path) -> None:
    root = fill(tmp_path / "root", "b/1.png")
    fill(tmp_path, "store/2.png")
    os.makedirs(root / "a")
    os.symlink("../b/1.png", root / "a/1.png")
    os.symlink(tmp_path / "store/2.png", root / "a/2.png")
    os.symlink(tmp_path / "store/2.png", root / "a/3.png")
    with pytest.warns(UserWarning, match="2 entries in .* links to what is found elsewhere: .*a/1.png, .*a/3.png"):
        assert paths(root) == ["a/2.png", "b/1.png"]


def test_files_passed_over_are_counted_by_their_endings(tmp_path: Path) -> None:
    root = fill(tmp_path, "a/1.png", "b/1.avif", "b/2.AVIF", "b/notes")
    with pytest.warns(UserWarning, match=r"3 files in .* not read as images, .*: .avif \(2\), none \(1\)\."):
        assert paths(root) == ["a/1.png"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_pipes_are_passed_over(tmp_path: Path) -> None:
    os.mkfifo(fill(tmp_path, "a/1.png") / "a/2.png")
    with pytest.warns(UserWarning, match="1 entries in .* not regular files: .*a/2.png"):
        assert paths(tmp_path) == ["a/1.png"]


def test_names_may_hold_anything(tmp_path: Path) -> None:
    names = ["映画/a 'b\" c.png", "\udcff/\udcfe.png"]
    fill(tmp_path, *names)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paths(tmp_path) == sorted(names)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "a/1.png", "b/2.png", "lost+found/3.png")
    scan = os.scandir

    def refuse(path: Path) -> object:
        if path.name in ("b", "lost+found"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=re.escape(f"cannot list {tmp_path / 'b'}: Permission denied.")):
        paths(tmp_path)


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    fill(tmp_path, "file")
    with pytest.raises(ValueError, match="file is not a folder"):
        paths(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        paths(tmp_path / ("x" * 300))
