"""Rows of a study in a CSV file, which a study that was killed continues from."""

import csv
import os
from pathlib import Path

Row = dict[str, str]


class KeptRows:
    """Rows of finished runs by what names a run; the file always holds whole runs.

    Args:
        path: of the CSV file; one that exists is read.
        settings: options that all rows share, such as the number of steps; they are columns too.

    Raises:
        SystemExit: if the file holds rows of other settings.
    """

    def __init__(self, path: Path, settings: dict[str, object]) -> None:
        self.path, self.settings = path, {name: str(value) for name, value in settings.items()}
        self.runs: dict[tuple[str, ...], list[Row]] = {}
        self.names: tuple[str, ...] = ()
        if path.exists():
            with path.open(newline="") as file:
                for row in csv.DictReader(file):
                    if other := {
                        name: row.get(name) for name, value in self.settings.items() if row.get(name) != value
                    }:
                        raise SystemExit(
                            f"{path} holds runs with {other}, and this study has "
                            f"{ {name: self.settings[name] for name in other} }: give another --out."
                        )
                    self.runs.setdefault((row["run"], row["seed"]), []).append(row)

    def has(self, run: str, seed: int) -> bool:
        """Whether a run is finished."""
        return (run, str(seed)) in self.runs

    def add(self, run: str, seed: int, rows: list[dict[str, object]]) -> None:
        """Adds the rows of a finished run and writes the file anew, so that no kill leaves a part of a run."""
        named = {"run": run, "seed": str(seed), **self.settings}
        self.runs[run, str(seed)] = [named | {key: str(value) for key, value in row.items()} for row in rows]
        columns = list(dict.fromkeys(key for kept in self.runs.values() for row in kept for key in row))
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_suffix(".partial")
        with partial.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for kept in self.runs.values() for row in kept)
        os.replace(partial, self.path)

    def of(self, run: str) -> list[list[Row]]:
        """Rows of a run, for each seed."""
        return [rows for (name, _), rows in self.runs.items() if name == run]
