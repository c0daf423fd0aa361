"""Rows of a study in a CSV file, which a study that was killed continues from."""

import csv
import os
from pathlib import Path

from new_files import refuse_existing

Row = dict[str, str]
STUDY, RUN, SEED = "study", "run", "seed"


class KeptRows:
    """Rows of finished runs by what names a run; the file always holds whole runs.

    Args:
        path: of the CSV file; one that exists is read.
        study: what the rows are of; a file without this column is taken for one of this study.
        settings: options that all rows share, such as the number of steps; they are columns too.
        beside: suffixes of other files of the study, which are its own if there is a CSV file.

    Raises:
        SystemExit: if the file is none of this study or holds rows of other settings, or if there is none and there
            are files beside it.
    """

    def __init__(self, path: Path, study: str, settings: dict[str, object], beside: tuple[str, ...] = ()) -> None:
        self.path = path
        self.settings = {STUDY: study, **{name: str(value) for name, value in settings.items()}}
        self.runs: dict[tuple[str, ...], list[Row]] = {}
        if not os.path.lexists(path):
            refuse_existing(*(path.with_suffix(suffix) for suffix in beside))
            return
        for row in self._read():
            row.setdefault(STUDY, study)
            if other := {name: row[name] for name, value in self.settings.items() if row[name] != value}:
                raise SystemExit(
                    f"{path} holds runs with {other}, and this study has "
                    f"{ {name: self.settings[name] for name in other} }: give another --out."
                )
            self.runs.setdefault((row[RUN], row[SEED]), []).append(row)

    def has(self, run: str, seed: int) -> bool:
        """Whether a run is finished."""
        return (run, str(seed)) in self.runs

    def add(self, run: str, seed: int, rows: list[dict[str, object]]) -> None:
        """Adds the rows of a finished run and writes the file anew, so that no kill leaves a part of a run."""
        named = {RUN: run, SEED: str(seed), **self.settings}
        self.runs[run, str(seed)] = [named | {key: str(value) for key, value in row.items()} for row in rows]
        columns = list(dict.fromkeys(key for kept in self.runs.values() for row in kept for key in row))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for kept in self.runs.values() for row in kept)
        os.replace(partial, self.path)

    def of(self, run: str) -> list[list[Row]]:
        """Rows of a run, for each seed."""
        return [rows for (name, _), rows in self.runs.items() if name == run]

    def _read(self) -> list[Row]:
        try:
            with self.path.open(newline="") as file:
                reader = csv.DictReader(file, strict=True)
                columns, rows = set(reader.fieldnames or ()), list(reader)
        except (OSError, ValueError, csv.Error) as error:
            raise SystemExit(f"cannot read {self.path}: {error}. Give another --out.") from error
        wanted = {RUN, SEED, *self.settings} - {STUDY}
        if lacking := sorted(wanted - columns):
            raise SystemExit(
                f"{self.path} is no file of this study: it has no column {lacking[0]!r}. Give another --out."
            )
        if wrong := [number for number, row in enumerate(rows, 1) if None in row or None in row.values()]:
            raise SystemExit(
                f"{self.path} is damaged: row {wrong[0]} has more or fewer cells than its header. Correct it, or give "
                "another --out."
            )
        return rows
