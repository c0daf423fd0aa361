import json
import os
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.report.history import NAMES, History, append, read_history


def test_what_is_appended_is_read(tmp_path: Path, whole: Any, make: Any) -> None:
    for record in whole:
        append(tmp_path / "history.jsonl", **record)
    text = (tmp_path / "history.jsonl").read_text()
    assert text == make.lines(whole)
    history, broken = read_history(text)
    assert not broken
    assert history.values["train/loss"] == [(10, 2.0), (20, 1.0)]
    assert history.rows == make.rows
    assert history.alarms == [(19, "collapse", "the features become the same")]
    assert history.end is not None
    assert (history.last_step, history.seconds, history.end.reason) == (20, 90.0, "")
    assert history.starts[0].about["device"] == "cpu"


def test_values_that_are_not_finite_are_gaps(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "history.jsonl"
    for record in (make.start, make.values(1, a=float("nan")), make.values(2, a=float("inf")), make.values(3, a=1.0)):
        append(path, **record)
    assert [json.loads(line)["values"] for line in path.read_text().splitlines()[1:3]] == [{"a": None}] * 2
    history, _ = read_history(path.read_text() + '{"kind": "values", "step": 4, "seconds": 4, "values": {"a": NaN}}\n')
    assert history.values["a"] == [(1, None), (2, None), (3, 1.0), (4, None)]


def test_a_resumed_run_counts_in_its_later_form(make: Any) -> None:
    alarm = {"kind": "alarm", "step": 25, "name": "collapse", "text": "x"}
    first = [make.start, make.values(10, a=1.0), make.values(20, a=2.0), make.values(30, a=3.0, b=3.0), alarm]
    again = [{**make.start, "step": 20}, make.values(30, a=5.0), make.end(30)]
    history, broken = read_history(make.lines(first + again))
    assert not broken
    assert history.values == {"a": [(10, 1.0), (20, 2.0), (30, 5.0)]}
    assert not history.alarms
    assert len(history.starts) == 2
    assert history.seconds == 30 + 90
    # one that starts anew has nothing of the former
    history, _ = read_history(make.lines([*first, make.start, make.values(10, a=7.0)]))
    assert (history.values, history.seconds, len(history.starts)) == ({"a": [(10, 7.0)]}, 10, 1)


def test_the_later_value_of_a_step_counts(make: Any) -> None:
    history, _ = read_history(make.lines([make.start, make.values(5, a=1.0), make.values(5, a=2.0)]))
    assert history.values["a"] == [(5, 2.0)]


@pytest.mark.parametrize(
    "line",
    [
        '{"kind": "values", "step": 1, "sec',
        "[]",
        "7",
        '{"kind": "other"}',
        '{"kind": "values", "step": -1, "seconds": 0, "values": {}}',
        '{"kind": "values", "step": true, "seconds": 0, "values": {}}',
        '{"kind": "values", "step": 1.5, "seconds": 0, "values": {}}',
        '{"kind": "values", "step": 1, "seconds": 0, "values": {"a": "<b>"}}',
        '{"kind": "values", "step": 1, "seconds": 0, "values": [1]}',
        '{"kind": "values", "step": 1, "seconds": 0, "values": {"a": [1]}}',
        '{"kind": "values", "step": 1, "seconds": 0, "values": {"a": 1, "b": true}}',
        '{"kind": "rows", "rows": {"a": 1}}',
        '{"kind": "end", "step": 1, "seconds": 0, "reason": "", "places": [["a"]], "next": []}',
        '{"kind": "alarm", "step": 1, "name": "a", "text": ' + json.dumps("x" * 20_000) + "}",
        "[" * 100_000,
        '{"kind": "values", "step": 1, "seconds": 0, "values": {"a": 1' + "0" * 5000 + "}}",
    ],
)
def test_a_line_that_is_no_record_is_named_and_left_out(line: str, make: Any) -> None:
    history, broken = read_history(make.lines([make.start]) + line + "\n" + make.lines([make.values(9, a=1.0)]))
    assert broken == [2]
    assert history.values == {"a": [(9, 1.0)]}


def test_numbers_beyond_what_a_chart_can_show_are_gaps(make: Any) -> None:
    line = '{"kind": "values", "step": 1, "seconds": 1%s, "values": {"a": 1%s, "b": -1e308, "c": 1e300}}'
    history, broken = read_history(make.lines([make.start]) + line % ("0" * 400, "0" * 400))
    assert not broken
    assert history.values == {"a": [(1, None)], "b": [(1, None)], "c": [(1, 1e300)]}
    assert history.seconds == 0


def test_a_line_with_names_beyond_the_limit_is_left_out_whole(make: Any) -> None:
    many = make.values(1, **{f"m{number}": 1.0 for number in range(NAMES)})
    history, broken = read_history(make.lines([make.start, many, make.values(2, m0=2.0, more=1.0)]))
    assert broken == [3]
    assert len(history.values) == NAMES
    assert history.values["m0"] == [(1, 1.0)]
    assert history.last_step == 1


def test_a_text_with_half_a_character_can_be_written(make: Any) -> None:
    history, _ = read_history(make.lines([{**make.start, "command": "fit \udcff"}]))
    assert history.starts[0].command == "fit ?"


def test_a_link_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("of a person")
    (tmp_path / "history.jsonl").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic"):
        append(tmp_path / "history.jsonl", "rows", rows={})
    assert (tmp_path / "other").read_text() == "of a person"


def test_an_empty_record_is_an_empty_history() -> None:
    assert read_history("") == (History(), [])


def test_a_line_is_written_in_one_piece(tmp_path: Path, monkeypatch: Any) -> None:
    calls = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda *args: calls.append(args[1]) or real(*args))
    append(tmp_path / "history.jsonl", "rows", rows={"a": {"b": 1.0}})
    assert calls
    assert calls[0] & os.O_APPEND
