import os
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.report import write_report

NAMES = ("history.jsonl", "report.html")


def test_a_whole_run_lacks_nothing(run: Path) -> None:
    before = {path.relative_to(run) for path in run.rglob("*")}
    assert write_report(run, *NAMES) == []
    assert {path.relative_to(run) for path in run.rglob("*")} == {*before, Path("report.html")}
    (run / "config.yaml").unlink()
    assert write_report(run, *NAMES) == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a: [1, 2", "config.yaml, which is no YAML, or was cut"),
        (b"- 1\n", "config.yaml, which is no configuration"),
        (b"a: \xff\n", "config.yaml, which is not in UTF-8"),
        (b"[" * 5000, "config.yaml, which is no YAML, or was cut"),
        (b"a: " + b"x" * 300_000, "config.yaml, which has 0.3 MB, and 0.25 are read"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_left_out(run: Path, content: bytes, said: str) -> None:
    (run / "config.yaml").write_bytes(content)
    assert write_report(run, *NAMES) == [said]
    text = (run / "report.html").read_text()
    assert "1 left out of this page" in text
    assert "<summary>Configuration</summary>" not in text


def test_a_configuration_runs_no_code(run: Path, tmp_path: Path) -> None:
    mark = tmp_path / "code was run"
    (run / "config.yaml").write_text(f"a: !!python/object/apply:os.mkdir [{mark}]\n")
    assert write_report(run, *NAMES) == ["config.yaml, which is no YAML, or was cut"]
    assert not mark.exists()


def test_a_link_to_a_configuration_elsewhere_is_not_followed(run: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.yaml").write_text("password: hunter2\n")
    (run / "config.yaml").unlink()
    (run / "config.yaml").symlink_to(tmp_path / "secret.yaml")
    assert write_report(run, *NAMES) == ["config.yaml, which is a link"]
    assert "hunter2" not in (run / "report.html").read_text()


def test_a_record_that_was_cut_counts_as_far_as_it_goes(run: Path, whole: Any, make: Any) -> None:
    (run / "history.jsonl").write_text(make.lines(whole)[:-30])
    assert write_report(run, *NAMES) == [f"line {len(whole)} of history.jsonl, which cannot be read"]
    assert "it is under way, or it was killed" in (run / "report.html").read_text()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{}\n", b'{"kind": "rows", "rows": {}}\n'])
def test_what_is_no_record_makes_no_report(run: Path, content: bytes) -> None:
    (run / "history.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"history\.jsonl is no record of a run: it does not have the start of one\."):
        write_report(run, *NAMES)
    assert not (run / "report.html").exists()


def test_a_record_that_is_no_regular_file_makes_no_report(run: Path, tmp_path: Path) -> None:
    record = run / "history.jsonl"
    record.rename(tmp_path / "elsewhere.jsonl")
    record.symlink_to(tmp_path / "elsewhere.jsonl")
    with pytest.raises(ValueError, match=r"history\.jsonl is a link: it is no record of a run\."):
        write_report(run, *NAMES)
    record.unlink()
    os.mkfifo(record)
    with pytest.raises(ValueError, match="is no regular file"):
        write_report(run, *NAMES)
    record.unlink()
    with record.open("wb") as file:
        file.truncate(65_000_000)
    with pytest.raises(ValueError, match=r"has 65\.0 MB, and 64 are read: it is no record of a run\."):
        write_report(run, *NAMES)


def test_a_second_run_in_a_folder_shows_no_pictures_of_the_first(run: Path, whole: Any, make: Any) -> None:
    (run / "history-v1.jsonl").write_text(make.lines(whole))
    said = ["pictures, which may be of another run in this folder"]
    assert write_report(run, "history-v1.jsonl", "report-v1.html") == said
    assert "<img" not in (run / "report-v1.html").read_text()
    write_report(run, *NAMES)
    assert "<img" in (run / "report.html").read_text()
