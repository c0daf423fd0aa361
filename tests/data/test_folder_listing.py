import os
import re
from pathlib import Path

import pytest

from jepa_lightning.data.folder_listing import contents, identity, require_folder, require_regular, subfolders


def test_what_is_hidden_and_what_only_root_may_list_is_left_out(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden", "lost+found"):
        (tmp_path / name).mkdir()
    for name in ("2.png", "1.png", ".3.png"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    folders, others = contents(tmp_path)
    assert [entry.name for entry in folders] == ["a", "b", "link"]
    assert [entry.name for entry in others] == ["1.png", "2.png", "loop"]
    assert subfolders(tmp_path) == [tmp_path / name for name in ("a", "b", "link")]
    assert identity(tmp_path / "link") == identity(tmp_path / "a") != identity(tmp_path / "b")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match=re.escape(f"cannot list {tmp_path}: Permission denied.")):
        contents(tmp_path)


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_folder(tmp_path)
    with pytest.raises(ValueError, match="file is not a folder"):
        require_folder(tmp_path / "file")
    for name in ("none", "x" * 300):
        with pytest.raises(FileNotFoundError, match="there is no folder"):
            require_folder(tmp_path / name)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    require_regular(tmp_path / "file")
    for path in (tmp_path, Path(os.devnull)):
        with pytest.raises(OSError, match="it is not a regular file"):
            require_regular(path)
    for name in ("none", "a\0b"):
        with pytest.raises(OSError, match=r"No such file|null"):
            require_regular(tmp_path / name)
