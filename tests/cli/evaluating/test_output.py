import itertools
import json
import math
import os
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.evaluating.output import (
    check_output,
    check_same_encoder,
    earlier_results,
    joined_baselines,
    write,
)
from jepa_lightning.cli.evaluating.table import table

IDENTITY = {"encoder": "checkpoint", "seed": 0}


def test_both_files_are_written_into_a_new_folder(tmp_path: Path) -> None:
    folder = check_output(str(tmp_path / "a" / "b"))
    assert not folder.exists()
    write(folder, {**IDENTITY, "knn": {}}, "| row |")
    written = json.loads((folder / "results.json").read_text())
    assert written == {"made_by": "jepa-lightning evaluate", **IDENTITY, "knn": {}}
    assert (folder / "results.md").read_text() == "| row |\n"
    assert earlier_results(check_output(str(folder)), IDENTITY, overwrite=False) == written


def test_names_that_are_no_text_do_not_lose_the_results(tmp_path: Path) -> None:
    command = f"{os.fsdecode(bytes([0xE9]))} größe"
    write(tmp_path, {"command": command}, command)
    assert json.loads((tmp_path / "results.json").read_text())["command"] == command
    assert (tmp_path / "results.md").read_text(encoding="utf-8") == "? größe\n"


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert check_output("~/out") == tmp_path / "out"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(UsageError, match="out is a file: give a folder"):
        check_output(str(tmp_path / "out"))


@pytest.mark.parametrize("content", ["", "[1]", '{"made_by": "jepa-lightning plan"}', "{" * 5000])
def test_results_of_something_else_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "results.json").write_text(content)
    with pytest.raises(UsageError, match=r"results\.json was not made by jepa-lightning evaluate: give another"):
        check_output(str(tmp_path))


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path / "real", IDENTITY, "")
    for target in ("real/results.json", "nowhere"):
        (tmp_path / "results.json").unlink(missing_ok=True)
        (tmp_path / "results.json").symlink_to(tmp_path / target)
        with pytest.raises(UsageError, match="was not made by"):
            check_output(str(tmp_path))


def test_results_of_another_evaluation_are_replaced_only_if_that_is_asked_for(tmp_path: Path) -> None:
    assert earlier_results(tmp_path, IDENTITY, overwrite=False) == {}
    write(tmp_path, {**IDENTITY, "grid": "quick"}, "")
    other = {"encoder": "pixels", "seed": 0, "grid": "published", "data_fingerprint": "a"}
    with pytest.raises(
        UsageError, match=r"\(encoder and grid and data_fingerprint differ\): give another --output, or"
    ):
        earlier_results(tmp_path, other, overwrite=False)
    assert earlier_results(tmp_path, other, overwrite=True) == {}
    assert earlier_results(tmp_path, IDENTITY, overwrite=True)["grid"] == "quick"  # the same are added to


@pytest.mark.parametrize("there", ["frozen", "fine-tuned", None])
@pytest.mark.parametrize("freeze", [True, False])
def test_detection_of_one_kind_is_not_replaced_by_the_other(there: str | None, freeze: bool) -> None:
    record: dict[str, Any] = {"map": 0.5, **({"encoder": there} if there else {})}  # earlier versions had frozen ones
    earlier = {"detection": {"boxes": record}}
    if freeze != (there == "fine-tuned"):
        check_same_encoder(earlier, ["detection"], freeze)
    else:
        with pytest.raises(UsageError, match=rf"over a {there or 'frozen'} encoder, and a .* one is asked for"):
            check_same_encoder(earlier, ["detection"], freeze)
    check_same_encoder(earlier, ["knn"], freeze)
    check_same_encoder({}, ["detection"], freeze)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RuntimeError, match=r"cannot write to .*file/out: Not a directory\.$"):
        write(tmp_path / "file" / "out", {}, "")


@pytest.mark.parametrize("name", ["results.json", "results.md"])
def test_a_foreign_file_is_never_replaced(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(UsageError, match=f"{name} was not made by jepa-lightning evaluate: give another --output"):
        check_output(str(tmp_path))


@pytest.mark.parametrize("moment", range(8))
def test_a_folder_of_a_run_that_was_killed_while_it_wrote_can_be_used_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    moments = itertools.count()

    def at(real: Any, *arguments: Any) -> Any:
        if next(moments) == moment:
            raise KeyboardInterrupt
        return real(*arguments)

    with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
        for name in ("replace", "fsync"):
            patch.setattr(os, name, partial(at, getattr(os, name)))
        write(tmp_path, {"knn": 1}, "row")
    write(check_output(str(tmp_path)), {"knn": 2}, "row")
    assert json.loads((tmp_path / "results.json").read_text())["knn"] == 2


def test_baselines_stay_beside_the_figures_that_they_were_found_with() -> None:
    earlier = {
        "knn": {"class": 0.5},
        "finetune": {"class": 0.6, "epochs": 1},
        "linear": {"class": 0.7},
        "baselines": {"random": {"knn": 1, "finetune": 2, "linear": 3}},
    }
    found = {"knn": {"class": 0.5}, "finetune": {"class": 0.9, "epochs": 10}, "baselines": {}}
    assert joined_baselines(earlier, found) == {"random": {"knn": 1, "linear": 3}}
    found["baselines"] = {"random": {"finetune": 4}, "pixels": {"knn": 5}}
    assert joined_baselines(earlier, found) == {"random": {"knn": 1, "linear": 3, "finetune": 4}, "pixels": {"knn": 5}}
    assert joined_baselines({}, found) == found["baselines"]


def test_what_is_not_finite_is_null(tmp_path: Path) -> None:
    record = {"r2": math.nan, "mae": 0.0, "interval": [math.nan, 1.0]}
    write(tmp_path, {"regression": {"far": record}, "baselines": {}}, "")
    written = json.loads((tmp_path / "results.json").read_text(), parse_constant=pytest.fail)
    assert written["regression"]["far"] == {"r2": None, "mae": 0.0, "interval": [None, 1.0]}
    again = {"encoder": "checkpoint", **written}
    assert table(again, ["regression"]) == table({**again, "regression": {"far": record}}, ["regression"])
