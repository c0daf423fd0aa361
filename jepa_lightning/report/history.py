"""The record of a run: ``history.jsonl``, one JSON object a line, to which the run adds as it proceeds.

It is the same with every logger and without one, a killed run has left it, and a resumed one adds to it.
"""

import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Row = dict[str, float]  # accuracy by column
Point = tuple[int, float | None]  # step and value, None where it is not finite or beyond LARGEST

NAMES = 2000  # of metrics
LENGTH = 10_000  # of a text
STEPS = 10**12
LARGEST = 1e300  # number that a chart still has room for


@dataclass(frozen=True)
class Start:
    """The start of a run, or of its continuation.

    Attributes:
        step: that it starts after.
        method: class of the module.
        data: class of the DataModule, or ``""``.
        command: as it was typed.
        date: as it is shown.
        probes: names of the probes, which their metrics begin with.
        monitors: names of the collapse monitors, the same.
        about: versions, device and the like, as they are shown.
    """

    step: int
    method: str
    data: str
    command: str
    date: str
    probes: list[str] = field(default_factory=list)
    monitors: list[str] = field(default_factory=list)
    about: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class End:
    """The end of a run.

    Attributes:
        step: the last one.
        reason: why it ended early, or ``""``.
        places: what it has left, and where: pairs of a name and a path.
        next: commands.
    """

    step: int
    reason: str
    places: list[list[str]] = field(default_factory=list)
    next: list[str] = field(default_factory=list)


@dataclass
class History:
    """What a run has recorded.

    Attributes:
        starts: of the run, and of its continuations.
        values: points of each metric, in the order of steps.
        alarms: step, name of the monitor and text.
        rows: accuracies, the latest.
        end: None while it runs, and of one that was killed.
        seconds: of training.
    """

    starts: list[Start] = field(default_factory=list)
    values: dict[str, list[Point]] = field(default_factory=dict)
    alarms: list[tuple[int, str, str]] = field(default_factory=list)
    rows: dict[str, Row] = field(default_factory=dict)
    end: End | None = None
    seconds: float = 0.0

    @property
    def last_step(self) -> int:
        """The last step that is recorded."""
        steps = [points[-1][0] for points in self.values.values()]
        return max([start.step for start in self.starts] + steps + ([self.end.step] if self.end else []))


def append(path: Path, kind: str, **fields: Any) -> None:
    """Adds a line, in one piece.

    Args:
        path: of the record; a link is refused.
        kind: ``start``, ``values``, ``alarm``, ``rows`` or ``end``.
        fields: of it, as ``read_history`` takes them. Numbers that are not finite are kept as null.

    Raises:
        OSError: if it cannot be written.
    """
    line = json.dumps({"kind": kind, **_finite(fields)}, allow_nan=False) + "\n"
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    number = os.open(path, flags, 0o666)
    with os.fdopen(number, "ab", buffering=0) as file:
        file.write(line.encode())


def read_history(text: str) -> tuple[History, list[int]]:
    """Reads a record.

    What a resumed run has done again counts in its later form.

    Args:
        text: of the file.

    Returns:
        The record, and the numbers of the lines that are none.
    """
    history, broken, before = History(), [], 0.0
    for number, line in enumerate(text.splitlines(), 1):
        try:
            record = json.loads(line, parse_constant=lambda _: None)
            kind = record.pop("kind")
            _KINDS[kind](history, record, before)
            if kind == "start":
                before = history.seconds
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            broken.append(number)
    return history, broken


def _start(history: History, record: dict[str, Any], before: float) -> None:
    start = Start(
        step=_step(record["step"]),
        method=_text(record["method"]),
        data=_text(record["data"]),
        command=_text(record["command"]),
        date=_text(record["date"]),
        probes=[_text(name) for name in _few(record["probes"])],
        monitors=[_text(name) for name in _few(record["monitors"])],
        about={_text(name): _text(value) for name, value in _pairs(record["about"])},
    )
    if start.step == 0:
        history.seconds = 0.0
    history.starts = [*(each for each in history.starts if each.step < start.step), start]
    kept = {name: [point for point in points if point[0] <= start.step > 0] for name, points in history.values.items()}
    history.values = {name: points for name, points in kept.items() if points}
    history.alarms = [alarm for alarm in history.alarms if alarm[0] < start.step]
    history.rows = history.rows if start.step else {}
    history.end = None


def _values(history: History, record: dict[str, Any], before: float) -> None:
    step, seconds = _step(record["step"]), _number(record["seconds"])
    history.seconds = max(history.seconds, before + (seconds or 0.0))
    found = [(_text(name), _number(value)) for name, value in _pairs(record["values"])]  # all of a line, or nothing
    known = len(history.values)
    for name, _ in found:
        points = history.values.get(name, [])
        if (not points and known >= NAMES) or (points and points[-1][0] > step):
            raise ValueError
        known += not points
    for name, number in found:
        points = history.values.setdefault(name, [])
        if points and points[-1][0] == step:  # a validation after a step
            points.pop()
        points.append((step, number))


def _alarm(history: History, record: dict[str, Any], before: float) -> None:
    alarm = (_step(record["step"]), _text(record["name"]), _text(record["text"]))
    if alarm not in history.alarms:
        history.alarms = [*history.alarms, alarm][:NAMES]


def _rows(history: History, record: dict[str, Any], before: float) -> None:
    rows: dict[str, Row] = {}
    for label, row in _pairs(record["rows"]):
        found = {_text(column): _number(value) for column, value in _pairs(row)}
        rows[_text(label)] = {column: value for column, value in found.items() if value is not None}
    history.rows = rows


def _end(history: History, record: dict[str, Any], before: float) -> None:
    places = [[_text(name), _text(path)] for name, path in _few(record["places"])]
    commands = [_text(command) for command in _few(record["next"])]
    history.end = End(_step(record["step"]), _text(record["reason"]), places, commands)
    history.seconds = max(history.seconds, before + (_number(record["seconds"]) or 0.0))


_KINDS = {"start": _start, "values": _values, "alarm": _alarm, "rows": _rows, "end": _end}


def _step(value: Any) -> int:
    if type(value) is int and 0 <= value <= STEPS:
        return value
    raise ValueError


def _number(value: Any) -> float | None:
    if value is not None and type(value) not in (int, float):
        raise ValueError
    return float(value) if value is not None and abs(value) <= LARGEST else None  # NaN is not below it either


def _text(value: Any) -> str:
    if isinstance(value, str) and len(value) <= LENGTH:
        return value.encode(errors="replace").decode()  # a name of a file may hold half a character
    raise ValueError


def _few(value: Any) -> list[Any]:
    if isinstance(value, list) and len(value) <= NAMES:
        return value
    raise ValueError


def _pairs(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict) and len(value) <= NAMES:
        return list(value.items())
    raise ValueError


def _finite(value: Any) -> Any:
    """The same, with None in the place of numbers that are not finite."""
    if isinstance(value, dict):
        return {name: _finite(item) for name, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
