import itertools
import json
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.planning.output import check_output, write


def test_both_files_are_written_into_a_new_folder(tmp_path: Path) -> None:
    folder = check_output(str(tmp_path / "a" / "b"), overwrite=False)
    write(folder, {"success": 0.5}, b"film")
    assert json.loads((folder / "results.json").read_text()) == {"made_by": "jepa-lightning plan", "success": 0.5}
    assert (folder / "episodes.gif").read_bytes() == b"film"
    assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
        "episodes.gif",
        "results.json",
    ]


def test_own_results_are_replaced_if_that_is_asked_for(tmp_path: Path) -> None:
    write(tmp_path, {"success": 0.5}, b"film")
    with pytest.raises(UsageError, match=r"results.json is there already: give another --output, or --overwrite true"):
        check_output(str(tmp_path), overwrite=False)
    assert check_output(str(tmp_path), overwrite=True) == tmp_path


@pytest.mark.parametrize("name", ["results.json", "episodes.gif"])
@pytest.mark.parametrize("content", ["", "[1]", '{"made_by": "me"}', "{" * 5000])
def test_a_foreign_file_is_never_replaced(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=f"{name} was not made by jepa-lightning plan: give another --output"):
        check_output(str(tmp_path), overwrite=True)
    assert (tmp_path / name).read_text() == content


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "real", {}, None)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "results.json").symlink_to(tmp_path / "real" / "results.json")
    with pytest.raises(UsageError, match="was not made by"):
        check_output(str(tmp_path / "out"), overwrite=True)


def test_other_files_stay(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    write(check_output(str(tmp_path), overwrite=False), {}, b"film")
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="out is a file: give a folder"):
        check_output(str(tmp_path / "out"), overwrite=True)


def test_results_that_are_not_finite_are_no_json(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Out of range float"):
        write(tmp_path, {"success": float("nan")}, None)
    assert not (tmp_path / "results.json").exists()


@pytest.mark.parametrize("moment", range(8))
def test_a_folder_of_a_run_that_was_killed_while_it_wrote_can_be_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    for older in (False, True):
        folder = tmp_path / str(older)
        if older:
            write(folder, {"success": 0.5}, b"old")
        moments = itertools.count()

        def at(real: Any, *arguments: Any, moments: Any = moments) -> Any:
            if next(moments) == moment:
                raise KeyboardInterrupt
            return real(*arguments)

        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            for name in ("replace", "fsync"):
                patch.setattr(os, name, partial(at, getattr(os, name)))
            write(folder, {"success": 1}, b"new")
        assert check_output(str(folder), overwrite=True) == folder
        results, gif = folder / "results.json", folder / "episodes.gif"
        found = json.loads(results.read_text())["success"] if results.exists() else None
        film = gif.read_bytes() if gif.exists() else None
        assert (found, film) in [(None, None), (0.5, None), (1, None), (1, b"new")]
