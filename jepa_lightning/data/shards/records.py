"""Samples in shards, read like a list: litdata's chunks, from a folder or from an object store."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jepa_lightning.data.shards.cache import ShardCache
from jepa_lightning.data.shards.index import INDEX_FILE, UNFINISHED, ShardIndex, remedy, require_litdata

OPEN = 16  # shards that a process keeps mapped


class _UnreadableShardError(RuntimeError):
    pass


class ShardRecord(NamedTuple):
    """A file and what is known of it: path, name of the class or None, the seconds it is a part of, and its content."""

    path: str
    label: str | None
    start: float
    end: float | None
    data: bytes


class Shards(Sequence[Any]):
    """The samples of one split.

    Every process opens the shards for itself, on first use.

    Args:
        root: what ``jepa-lightning pack`` wrote, a folder or the address of one.
        split: ``train`` or ``val``.
        cache_dir: where shards of an object store are kept; None is ``~/.cache/jepa_lightning``.
        max_cache_gb: how much of them, for each split; None is no limit.
        storage_options: of the connection, for litdata.

    Attributes:
        shard_index: of the shards.
        cache: that of an object store, else None.

    Raises:
        MisconfigurationException: if litdata is not installed.
        FileNotFoundError: if there is no such folder, no index in it, or a shard is missing.
        ValueError: if they are not finished, not whole, or not shards of this package.
        RuntimeError: if an object store cannot be read.
    """

    def __init__(
        self,
        root: str,
        split: str,
        cache_dir: str | None = None,
        max_cache_gb: float | None = None,
        storage_options: dict[str, Any] | None = None,
    ) -> None:
        require_litdata()
        self.cache: ShardCache | None = None
        self._opened: tuple[int, Any] | None = None
        if is_address(root):
            self.cache = ShardCache(f"{root.rstrip('/')}/{split}", cache_dir, max_cache_gb, storage_options)
            self.folder, self.shard_index = self.cache.folder, self.cache.index
        else:
            self.folder = Path(root).expanduser() / split
            self.shard_index = ShardIndex(_read(Path(root).expanduser(), self.folder / INDEX_FILE), str(self.folder))
            self.shard_index.check(self.folder)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.shard_index)

    def __getitem__(self, sample: Any) -> ShardRecord:
        """A sample.

        Raises:
            RuntimeError: if its shard cannot be read.
        """
        try:
            data, about = self._read(sample)
        except _UnreadableShardError:
            if self.cache is None:
                raise
            data, about = self._read(sample)  # another process may have removed it from the cache just now
        return ShardRecord(**json.loads(bytes(about)), data=bytes(data))

    def where(self, sample: int) -> str:
        """The shard of a sample."""
        return f"{self.shard_index.where}/{self.shard_index.shards[self.shard_index.shard_of(sample)].name}"

    def _read(self, sample: int) -> Any:
        from litdata.streaming.sampler import ChunkedIndex

        number = self.shard_index.shard_of(sample)
        if self.cache is not None:
            self.cache.fetch(number)
        try:
            return self._dataset()[ChunkedIndex(sample, number)]
        except Exception as error:  # litdata's are of many kinds
            raise _UnreadableShardError(
                f"cannot read the shard {self.where(sample)} ({error}): {remedy(self.shard_index.where)}"
            ) from error

    def _dataset(self) -> Any:
        if self._opened is None or self._opened[0] != os.getpid():
            from litdata import StreamingDataset

            # 0: decodes the sample that is asked for, not those around it
            self._opened = os.getpid(), StreamingDataset(str(self.folder), batch_decode=0, max_pre_download=OPEN)
        return self._opened[1]

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out what only this process can use."""
        return {**self.__dict__, "_opened": None}


def is_address(root: str) -> bool:
    """Whether shards lie in an object store."""
    return "://" in root or root.startswith("local:")


def _read(root: Path, path: Path) -> str:
    if path.is_file():
        return path.read_text()
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}.")
    if (root / UNFINISHED).is_dir():
        raise ValueError(f"the shards in {root} are not finished: run the same `jepa-lightning pack` again to resume.")
    if (root / INDEX_FILE).is_file():
        raise ValueError(f"{root} is one split of the shards: give the folder above it.")
    raise FileNotFoundError(
        f"there is no {path}: {root} holds no shards. `jepa-lightning pack --data ImageFolderDataModule "
        f"--data.root {root} --output OUT` makes shards in OUT of a folder of images."
    )
