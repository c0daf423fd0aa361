import errno
import os
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.checkpoints.whole import appearing, present


def write(path: Path, text: str, folder: bool) -> None:
    with appearing(path) as place:
        if folder:
            place.mkdir()
        (place / "part" if folder else place).write_text(text)


def read(path: Path) -> str:
    return (path / "part" if path.is_dir() else path).read_text()


@pytest.mark.parametrize("first", [False, True], ids=["file", "folder"])
@pytest.mark.parametrize("second", [False, True], ids=["file", "folder"])
def test_the_new_takes_the_name_of_the_old_and_nothing_else_stays(tmp_path: Path, first: bool, second: bool) -> None:
    path = tmp_path / "runs" / "last.ckpt"
    write(path, "old", first)
    assert read(path) == "old"
    write(path, "new", second)
    assert read(path) == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_what_fails_changes_nothing(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "last.ckpt"
    write(path, "old", folder)

    def fail() -> None:
        with appearing(path) as place:
            place.write_text("half")
            assert read(path) == "old"
            raise OSError("full")

    with pytest.raises(OSError, match="full"):
        fail()
    assert read(path) == "old"
    assert list(tmp_path.iterdir()) == [path]


def killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_kill_between_the_two_steps_of_a_folder_leaves_the_old_one_to_be_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "last.ckpt"
    write(path, "old", True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        # a kill would not clean up either
        patch.setattr("jepa_lightning.checkpoints.whole._remove", lambda place: None)
        with pytest.raises(KeyboardInterrupt):
            write(path, "new", True)
    assert not path.exists()
    assert read(present(path)) == "old"
    assert present(path) == tmp_path / ".previous/last.ckpt"
    assert (tmp_path / ".unfinished/last.ckpt").exists()
    write(path, "newer", True)
    assert read(present(path)) == "newer"
    assert list(tmp_path.iterdir()) == [path]


def test_at_every_moment_the_old_or_the_new_one_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, seen = tmp_path / "last.ckpt", []

    def watched(name: str) -> Any:
        real = getattr(os, name)

        def call(*args: Any) -> None:
            seen.append(read(present(path)))
            real(*args)
            seen.append(read(present(path)))

        return call

    write(path, "old", True)
    for name in ("rename", "replace"):
        monkeypatch.setattr(os, name, watched(name))
    write(path, "new", True)
    assert seen == ["old", "old", "old", "new"]


def test_what_a_killed_run_left_does_not_get_into_the_next_checkpoint(tmp_path: Path) -> None:
    leftover = tmp_path / ".unfinished" / "last.ckpt"
    leftover.mkdir(parents=True)
    (leftover / "shard").write_text("half")
    write(tmp_path / "last.ckpt", "new", True)
    assert [file.name for file in (tmp_path / "last.ckpt").iterdir()] == ["part"]
    assert not leftover.parent.exists()


def test_a_part_of_a_greater_one_is_left_to_that(tmp_path: Path) -> None:
    with appearing(tmp_path / "last.ckpt") as outer, appearing(outer) as inner:
        assert inner == outer
        inner.write_text("new")
    assert read(tmp_path / "last.ckpt") == "new"


def test_what_is_nowhere_is_under_its_own_name(tmp_path: Path) -> None:
    assert present(tmp_path / "last.ckpt") == tmp_path / "last.ckpt"


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_content_and_name_are_on_the_disk_before_the_next_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    """Power that fails after the new name is there must not find the old content gone and the new one unwritten."""
    done: list[str] = []
    fsync, replace = os.fsync, os.replace

    def watch_fsync(number: int) -> None:
        done.append(f"sync {Path(os.readlink(f'/proc/self/fd/{number}')).relative_to(tmp_path)}")
        fsync(number)

    def watch_replace(*names: Any) -> None:
        done.append("rename")
        replace(*names)

    monkeypatch.setattr(os, "fsync", watch_fsync)
    monkeypatch.setattr(os, "replace", watch_replace)
    write(tmp_path / "last.ckpt", "new", folder)
    part = ["sync .unfinished/last.ckpt/part"] if folder else []
    assert done == [*part, "sync .unfinished/last.ckpt", "rename", "sync ."]


def test_folders_that_cannot_be_synced_do_not_end_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.open

    def refuse(path: Any, *args: Any, **options: Any) -> int:
        if Path(path).is_dir():
            raise PermissionError(errno.EACCES, "Permission denied")  # as on Windows
        return real(path, *args, **options)

    monkeypatch.setattr(os, "open", refuse)
    write(tmp_path / "last.ckpt", "new", False)
    assert read(tmp_path / "last.ckpt") == "new"


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EINVAL])
def test_a_file_that_cannot_be_synced_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    write(tmp_path / "last.ckpt", "old", False)

    def fail(_: int) -> None:
        raise OSError(number, "failed")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="failed"):
        write(tmp_path / "last.ckpt", "new", False)
    assert read(tmp_path / "last.ckpt") == "old"
