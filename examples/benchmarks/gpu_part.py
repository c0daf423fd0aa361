"""What one part of the check on a GPU has found, in a file that always holds whole findings."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Part:
    """Runs checks until the time of the part is over, and writes what each has found, or why it has found nothing.

    Args:
        path: of the JSON file.
        seconds: from now on, after which no check is begun.
    """

    def __init__(self, path: Path, seconds: float) -> None:
        self.path, self.end = path, time.monotonic() + seconds
        self.rows: list[Row] = []

    def left(self) -> float:
        """Seconds that are left."""
        return self.end - time.monotonic()

    def run(self, name: str, check: Callable[[], Row], least: float = 0.0) -> Row:
        """The findings of one check.

        Args:
            name: of the check.
            check: gives its findings.
            least: seconds that it needs; with less it is left out.

        Returns:
            The findings with the name and the seconds; ``skipped`` or ``error`` say why there are none.
        """
        start = time.monotonic()
        if self.left() <= least:
            row: Row = {"name": name, "skipped": "no time left"}
        else:
            try:
                row = {"name": name, **check()}
            except Exception as error:  # one check that fails keeps no other from running
                row = {"name": name, "error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:300]}"}
            row["seconds"] = round(time.monotonic() - start, 1)
        self.rows.append(row)
        write_json(self.path, self.rows)
        print(f"{row['name']}: {row.get('error') or row.get('skipped') or 'done'}", flush=True)
        return row


def write_json(path: Path, value: Any) -> None:
    """Replaces a file by a whole one."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(value, indent=1))
    os.replace(partial, path)
