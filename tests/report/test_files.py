import os
import stat
from pathlib import Path

import pytest

from jepa_lightning.report.files import MARK, new_names, newest_names, read_regular, replace_report


def test_reads_a_regular_file_within_the_limit(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/b").write_bytes(b"12345")
    assert read_regular(tmp_path, "a/b", 5) == b"12345"
    with pytest.raises(ValueError, match=r"has 0\.0 MB, and 4e-06 are read"):
        read_regular(tmp_path, "a/b", 4)


def test_refuses_what_is_no_regular_file_or_behind_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("x")
    run = tmp_path / "run"
    run.mkdir()
    (run / "link").symlink_to(secret)
    (run / "folder").symlink_to(tmp_path)
    os.mkfifo(run / "pipe")
    for name, said in (("link", "is a link"), ("folder/secret", "is behind a link"), ("pipe", "is no regular file")):
        with pytest.raises(ValueError, match=said):
            read_regular(run, name, 10)
    with pytest.raises(ValueError, match="is no regular file"):
        read_regular(tmp_path, "run", 10)
    # the folder itself is what a person has named
    (tmp_path / "alias").symlink_to(run)
    (run / "file").write_text("y")
    assert read_regular(tmp_path / "alias", "file", 10) == b"y"


def test_names_of_a_new_run_are_not_taken(tmp_path: Path) -> None:
    assert newest_names(tmp_path) is None
    assert new_names(tmp_path, resumes=True) == new_names(tmp_path, resumes=False) == ("history.jsonl", "report.html")
    (tmp_path / "history.jsonl").touch()
    assert newest_names(tmp_path) == new_names(tmp_path, resumes=True) == ("history.jsonl", "report.html")
    assert new_names(tmp_path, resumes=False) == ("history-v1.jsonl", "report-v1.html")
    (tmp_path / "history-v1.jsonl").touch()
    assert newest_names(tmp_path) == ("history-v1.jsonl", "report-v1.html")


def test_a_page_of_a_person_takes_a_name_too(tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("mine")
    assert new_names(tmp_path, resumes=False) == ("history-v1.jsonl", "report-v1.html")
    assert newest_names(tmp_path) is None


def test_replaces_a_report_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    replace_report(path, f'{MARK} report">1')
    replace_report(path, f'{MARK} report">2')
    assert path.read_text() == f'{MARK} report">2'
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(
        (tmp_path / "x").touch() or (tmp_path / "x").stat().st_mode
    )
    mine, link = tmp_path / "mine.html", tmp_path / "link.html"
    mine.write_text("mine")
    link.symlink_to(path)
    for taken in (mine, link, tmp_path):
        with pytest.raises(ValueError, match="is no report of a run and is left as it is"):
            replace_report(taken, "new")
    assert mine.read_text() == "mine"
    assert link.is_symlink()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["link.html", "mine.html", "report.html", "x"]
