from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.interop.folders import file_appearing, folder_appearing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(folder: Path, text: str, *files: str) -> None:
    for name in files:
        (folder / name).write_text(text)


def fail(appearing: Any, error: BaseException) -> None:
    """Half of what is to be written, and then an error."""
    with appearing as place:
        fill(place, "new", "config.json", "more") if place.is_dir() else place.write_text("half")
        raise error


def test_a_new_folder_is_there_when_it_is_whole(tmp_path: Path) -> None:
    place = tmp_path / "above" / "model"
    with folder_appearing(place) as folder:
        fill(folder, "new", "config.json", "README.md")
        assert not place.exists()
    assert names(place) == ["README.md", "config.json"]


def test_what_fails_leaves_no_folder_and_changes_no_older_one(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    fill(old, "old", "config.json")
    for place in (tmp_path / "new", old):
        with pytest.raises(OSError, match="full"):
            fail(folder_appearing(place), OSError("full"))
    assert not (tmp_path / "new").exists()
    assert names(old) == ["config.json"]
    assert (old / "config.json").read_text() == "old"


def test_an_older_folder_keeps_its_readme_and_what_is_not_written_again(tmp_path: Path) -> None:
    fill(tmp_path, "old", "README.md", "config.json", "notes")
    with folder_appearing(tmp_path) as folder:
        fill(folder, "new", "README.md", "config.json", "weights")
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == {
        "README.md": "old", "config.json": "new", "notes": "old", "weights": "new",
    }  # fmt: skip


def test_the_configuration_is_replaced_first_and_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replaced = []
    monkeypatch.setattr("jepa_lightning.interop.folders.os.replace", lambda old, new: replaced.append(new.name))
    with folder_appearing(tmp_path) as folder:
        fill(folder, "", "weights", "config.json", "README.md", "a")
    # the first one says that the folder is not whole
    assert replaced == ["config.json", "README.md", "a", "weights", "config.json"]


def test_a_file_where_a_folder_is_to_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path / "file", tmp_path / "file" / "a" / "b"):
        with (
            pytest.raises(ValueError, match=r"/file is a file, and a folder is to be written"),
            folder_appearing(place),
        ):
            pytest.fail("it is written to")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_new_file_comes_after_what_else_belongs_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.onnx"
    with file_appearing(path) as place:
        assert place.name == "a.onnx"
        assert place.is_relative_to(tmp_path)  # on the same disk
        assert list(place.parent.iterdir()) == []
        place.write_text("whole")
        place.with_name("a.onnx.data").write_text("weights")
        assert not path.exists()
    assert names(tmp_path) == ["a.onnx", "a.onnx.data"]
    order = []
    monkeypatch.setattr("jepa_lightning.interop.folders.os.replace", lambda old, new: order.append(new.name))
    with file_appearing(tmp_path / "b") as place:
        fill(place.parent, "", "b", "a", "c")
    assert order[-1] == "b"


def test_a_file_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fail(file_appearing(tmp_path / "a"), KeyboardInterrupt())
    assert names(tmp_path) == []


def test_no_file_is_replaced_and_no_folder_is_made_for_one(tmp_path: Path) -> None:
    fill(tmp_path, "mine", "a")
    for place, said in ((tmp_path / "a", "a is there already"), (tmp_path / "no" / "b", "there is no folder .*no to")):
        with pytest.raises(ValueError, match=said), file_appearing(place):
            pytest.fail("it is written to")
    assert (tmp_path / "a").read_text() == "mine"
    assert names(tmp_path) == ["a"]
