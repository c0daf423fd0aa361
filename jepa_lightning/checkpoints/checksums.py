"""Checksums beside the shards of a checkpoint: every rank sums up the files that it has written.

Entries of a single file need none: torch's archives have their own, which ``plain.py`` compares.
"""

import json
import re
import zlib
from pathlib import Path

from jepa_lightning.checkpoints.plain import CHUNK, DamagedError

NAME = "checksums-{}.json"  # of a rank


def write_checksums(folder: Path, rank: int) -> None:
    """Sums up the shards of a rank; rank 0 adds what no rank has in its name.

    Args:
        folder: the shards.
        rank: of this process.
    """
    own = [path for path in folder.iterdir() if path.is_file() and _writer(path.name) == rank]
    sums = {path.name: _crc32(path) for path in sorted(own)}
    (folder / NAME.format(rank)).write_text(json.dumps({"crc32": sums}, indent=1))


def check_checksums(folder: Path) -> None:
    """Whether the files of a folder are as they were written; checkpoints of other writers have no checksums.

    Raises:
        DamagedError: if one is not.
    """
    for listing in sorted(folder.glob(NAME.format("*"))):
        try:
            sums = {str(name): int(sum_) for name, sum_ in json.loads(listing.read_bytes())["crc32"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{listing.name} is damaged") from error
        for name, expected in sums.items():
            path = folder / name
            if Path(name).name != name or not path.is_file() or _crc32(path) != expected:
                raise DamagedError(f"{name} is damaged, it does not match its checksum in {listing.name}")


def _writer(name: str) -> int:
    if name.startswith(NAME.partition("{")[0]):
        return -1
    shard = re.match(r"__(\d+)_", name)
    return int(shard[1]) if shard else 0


def _crc32(path: Path) -> int:
    value = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            value = zlib.crc32(chunk, value)
    return value
