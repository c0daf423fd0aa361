import os
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.cli.main import main

RUN = Path("logs/IJEPA/version_0")


@pytest.fixture
def run(tiny_cli: str, capsys: Any) -> Path:
    """The folder of a run of the command line."""
    main(["fit", "--config", tiny_cli, "--trainer.max_steps", "4", "--data.num_val", "16"])
    assert f"  report       {RUN}/report.html" in capsys.readouterr().out.splitlines()
    return RUN


def error(capsys: Any, *arguments: str) -> tuple[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as stop:
        main(["inspect-run", *arguments])
    (line,) = capsys.readouterr().err.splitlines()
    return line.removeprefix("jepa-lightning: error: "), stop.value.code


def test_a_run_has_a_report_and_the_command_writes_the_same(run: Path, capsys: Any) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    text = (run / "report.html").read_text()
    assert "IJEPA on ShapesDataModule" in text
    assert "4 steps in " in text
    assert "max_steps: 4" in text  # of the configuration
    assert f"{run}/checkpoints/last.ckpt" in text
    (run / "report.html").unlink()
    main(["inspect-run", str(run)])
    assert capsys.readouterr().out == f"{run}/report.html is the report of this run: open it in a browser.\n"
    assert {path: path.read_bytes() for path in before} == before


def test_a_resumed_run_has_one_report(run: Path, tiny_cli: str, capsys: Any) -> None:
    main(["fit", "--config", tiny_cli, "--trainer.max_steps", "6", "--data.num_val", "16", "--ckpt_path", "last"])
    assert sorted(path.name for path in run.glob("report*")) == ["report.html"]
    text = (run / "report.html").read_text()
    assert "6 steps in " in text
    assert "resumed 1 times" in text


def test_a_run_without_a_logger_or_with_a_callback_of_ones_own_has_one_report(tiny_cli: str) -> None:
    own = ["--trainer.callbacks", "RunReport", "--trainer.logger", "false", "--trainer.max_steps", "1"]
    main(["fit", "--config", tiny_cli, *own])
    assert sorted(path.name for path in RUN.glob("*.[hj]*")) == ["history.jsonl", "report.html"]


def test_a_killed_run_and_one_that_is_under_way_have_a_report(run: Path) -> None:
    lines = (run / "history.jsonl").read_text().splitlines(keepends=True)
    (run / "history.jsonl").write_text("".join(line for line in lines if '"kind": "end"' not in line))
    main(["inspect-run", str(run)])
    assert "it is under way, or it was killed" in (run / "report.html").read_text()


def test_what_is_no_run_ends_in_one_line(run: Path, capsys: Any) -> None:
    Path("empty").mkdir()
    no_record = "has no history.jsonl, which a run writes as it proceeds"
    for arguments, line, code in (
        (["nowhere"], "no folder nowhere.", 1),
        (["tiny.yaml"], "tiny.yaml is a file: give its folder.", 1),
        (["empty"], f"empty {no_record}: give the folder of a run, such as logs/IJEPA/version_0.", 1),
        (["logs"], f"logs {no_record}: did you mean {run}?.", 1),
        (["logs/IJEPA"], f"logs/IJEPA {no_record}: did you mean {run}?.", 1),
    ):
        found = error(capsys, *arguments)
        assert found == (line.replace("?.", "?"), code)
    assert error(capsys)[1] == 2
    assert error(capsys, str(run), "--depth", "3")[1] == 2
    assert not list(Path("empty").iterdir())


def test_files_that_cannot_be_used_are_named_in_one_line(run: Path, capsys: Any) -> None:
    picture = run / "pictures/step_000004/masks.png"
    picture.parent.mkdir(parents=True)
    picture.write_text("<script>")
    without = f"{run}/report.html is written without"
    assert error(capsys, str(run)) == (f"{without} pictures/step_000004/masks.png, which is no PNG.", 1)
    picture.unlink()
    picture.symlink_to("/etc/hostname")
    assert error(capsys, str(run)) == (f"{without} pictures/step_000004/masks.png, which is a link.", 1)
    picture.unlink()
    (run / "config.yaml").write_text("a: [")
    with (run / "history.jsonl").open("a") as file:
        file.write('{"kind": "val')
    line, code = error(capsys, str(run))
    number = len((run / "history.jsonl").read_text().splitlines())
    assert line == (
        f"{without} line {number} of history.jsonl, which cannot be read; config.yaml, which is no YAML, or was cut."
    )
    assert code == 1


def test_a_record_that_is_none_ends_in_one_line(run: Path, capsys: Any) -> None:
    for content, said in (
        (b"", "does not have the start of one"),
        (b"\x89PNG" + bytes(100), "does not have the start of one"),
    ):
        (run / "history.jsonl").write_bytes(content)
        line, code = error(capsys, str(run))
        assert said in line
        assert code == 1
    (run / "history.jsonl").unlink()
    os.mkfifo(run / "history.jsonl")
    assert error(capsys, str(run)) == (f"{run}/history.jsonl is no regular file: it is no record of a run.", 1)


def test_a_page_of_a_person_is_left_as_it_is(run: Path, capsys: Any) -> None:
    (run / "report.html").write_text("mine")
    assert error(capsys, str(run)) == (
        f"{run}/report.html is no report of a run and is left as it is: give it another name.", 1
    )  # fmt: skip
    assert (run / "report.html").read_text() == "mine"


def test_without_a_folder_it_says_what_is_meant(run: Path, capsys: Any) -> None:
    assert error(capsys) == (f"a folder is required: did you mean {run}?", 2)
