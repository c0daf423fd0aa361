"""The index of a folder of shards: litdata's ``index.json``, with what this package adds to it."""

import importlib.util
import json
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from lightning.fabric.utilities.exceptions import MisconfigurationException

INDEX_FILE = "index.json"
OURS = "jepa_lightning"  # the key of what litdata does not write
UNFINISHED = "unfinished"  # the folder of shards that are not all there yet
LARGEST = 2**28  # bytes of an index: hundreds of terabytes of shards
LEAVES = ["bytes", "bytes"]  # of a sample: the content of a file, and what there is to know of it, in JSON


class Shard(NamedTuple):
    """Name of the file, how many samples are in it, and its length in bytes."""

    name: str
    samples: int
    length: int


class ShardIndex:
    """What an index says.

    Args:
        content: of the file, in JSON.
        where: the folder or the address of the shards, for messages.

    Attributes:
        shards: in the order of their samples.
        starts: the first sample of each.
        kind: what the samples hold, in the plural.
        classes: their names, in the order of their indices.
        source: tells the files that the shards are made of from others.

    Raises:
        ValueError: if ``jepa-lightning pack`` did not write it, or it names files outside of the folder.
    """

    def __init__(self, content: str, where: str) -> None:
        self.content, self.where = content, where
        try:
            index = json.loads(content)
            ours, form = index[OURS], index["config"]["data_format"]
            self.kind, self.classes, self.source = str(ours["kind"]), tuple(ours["classes"]), str(ours["source"])
            self.shards = [Shard(c["filename"], c["chunk_size"], c["chunk_bytes"]) for c in index["chunks"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(foreign(where)) from error
        if form != LEAVES:
            raise ValueError(foreign(where))
        if outside := [shard.name for shard in self.shards if not is_plain_name(shard.name)]:
            raise ValueError(
                f"{where}/{INDEX_FILE} names a shard outside of its folder, {outside[0]!r}: do not use it."
            )
        self.starts = [0, *accumulate(shard.samples for shard in self.shards)]

    def __len__(self) -> int:
        """Number of samples."""
        return self.starts[-1]

    def shard_of(self, sample: int) -> int:
        """The shard that a sample is in."""
        return bisect_right(self.starts, sample) - 1

    def check(self, folder: Path) -> None:
        """Whether all shards are in a folder, and whole.

        Raises:
            FileNotFoundError: if one is missing.
            ValueError: if one has another length than it was written with, or is a link out of the folder.
        """
        for shard in self.shards:
            path = folder / shard.name
            if path.resolve().parent != folder.resolve():
                raise ValueError(f"the shard {path} is a link out of its folder: copy the shard there.")
            if not path.is_file():
                raise FileNotFoundError(f"the shard {path} is missing: {remedy(self.where)}")
            if path.stat().st_size != shard.length:
                raise ValueError(
                    f"the shard {path} has {path.stat().st_size} bytes, not the {shard.length} it was written with: "
                    f"{remedy(self.where)}"
                )


def holds_shards(folder: Path) -> bool:
    """Whether a folder is a split that ``jepa-lightning pack`` finished."""
    path = folder / INDEX_FILE
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            return False
        ShardIndex(path.read_text(), str(folder))
    except (OSError, ValueError, RecursionError):  # somebody else's index
        return False
    return True


def is_plain_name(name: object) -> bool:
    """Whether something is the name of a file, and no path to another folder.

    Args:
        name: from a file.
    """
    return isinstance(name, str) and name not in ("", ".", "..") and not set(name) & set("/\\:\0")


def write_index(path: Path, parts: Sequence[Path], ours: dict[str, Any], stamp: str) -> None:
    """Joins the indices that litdata's writer left beside single shards.

    Args:
        path: of the index.
        parts: those of the shards, in order.
        ours: what this package adds.
        stamp: changes whenever the shards do.
    """
    indices = [json.loads(part.read_text()) for part in parts]
    chunks = [chunk for index in indices for chunk in index["chunks"]]
    content = {"chunks": chunks, "config": indices[0]["config"], "updated_at": stamp, OURS: ours}
    path.write_text(json.dumps(content, sort_keys=True))


def foreign(where: str) -> str:
    """What to say of a folder that holds something else."""
    return f"{where}/{INDEX_FILE} is not of shards that `jepa-lightning pack` wrote: write them again with it."


def remedy(where: str) -> str:
    """What to do about a shard that is not as it should be."""
    return f"copy it again from where {where} comes from, or remove that folder and run `jepa-lightning pack` again."


def require_litdata() -> None:
    """Says what to install.

    Raises:
        MisconfigurationException: if litdata is not there.
    """
    if importlib.util.find_spec("litdata") is None:
        raise MisconfigurationException("shards need litdata: pip install 'jepa_lightning[streaming]'.")
