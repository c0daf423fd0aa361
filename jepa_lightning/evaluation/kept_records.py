"""What a protocol has found, in a file that is read by later runs, and refused if it is damaged."""

import json
import zlib
from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints import appearing

Records = dict[str, dict[str, Any]]  # by label
RECORDS, SUM = "records", "crc32"


def keep_records(path: Path, records: Records) -> None:
    """Writes records with a checksum; the file appears whole, or not at all.

    Args:
        path: the file; folders above it are made.
        records: by label.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with appearing(path) as place:
        place.write_text(json.dumps({SUM: _sum(records), RECORDS: records}))


def kept_records(path: Path) -> Records:
    """Reads records; a file of an earlier version has no checksum, and is taken if it has the form.

    Args:
        path: the file.

    Raises:
        ValueError: if it is damaged.
    """
    try:
        found = json.loads(path.read_text())
        if isinstance(found, dict) and RECORDS in found and SUM in found:
            found = found[RECORDS] if found[SUM] == _sum(found[RECORDS]) else None
    except (ValueError, RecursionError):
        found = None
    if not _has_form(found):
        raise ValueError(f"{path} is damaged: remove it, and what it held is computed again.")
    records: Records = found
    return records


def _sum(records: Any) -> int:
    # of the text: numbers come back as they were written
    return zlib.crc32(json.dumps(records).encode())


def _has_form(found: Any) -> bool:
    return (
        isinstance(found, dict)
        and bool(found)
        and all(isinstance(each, dict) and any(isinstance(value, float) for value in each.values())
                for each in found.values())
    )  # fmt: skip
