"""Which files go into which shard."""

import hashlib
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from jepa_lightning.data.folder import FilesDataModule

LARGEST = 2**32 - 2**24  # bytes: litdata counts them in 32 bits, and has a table at the beginning


@dataclass(frozen=True)
class ShardPlan:
    """Which files go into which shard.

    Attributes:
        root: folder that paths start from.
        kind: what the files hold, in the plural.
        classes: their names.
        splits: the shards of each split.
        source: tells these shards from others: names, lengths and classes of the files, and their order.
    """

    root: Path
    kind: str
    classes: tuple[str, ...]
    splits: dict[str, list[list[Any]]]
    source: str


def plan_shards(data: FilesDataModule, shard_mb: float = 64.0) -> ShardPlan:
    """Puts the files of both splits into shards, at random, as a shard of one class would make uniform batches.

    Args:
        data: files, read as for training.
        shard_mb: size of a shard in MB, up to the 4278 that its format allows; a larger file has one to itself.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: if one is too large for a shard, or not a regular file; or if ``shard_mb`` is out of its range.
    """
    if not 0 < shard_mb * 1e6 <= LARGEST:
        raise ValueError(f"shard_mb={shard_mb:g} is not in the range from above 0 to {LARGEST // 10**6}.")
    data.setup()
    splits: dict[str, list[list[Any]]] = {}
    digest = hashlib.sha256(repr((data.files.kind, data.class_names)).encode())
    for name, subset in (("train", data.train_set), ("val", data.val_set)):
        files = [subset.dataset.files[i] for i in subset.indices]  # type: ignore[attr-defined]
        order = torch.randperm(len(files), generator=torch.Generator().manual_seed(0)).tolist()
        splits[name] = list(_filled(data.root, [files[i] for i in order], shard_mb * 1e6, digest))
    return ShardPlan(data.root, data.files.kind, data.class_names, splits, digest.hexdigest())


def _filled(root: Path, files: Sequence[Any], room: float, digest: Any) -> Iterator[list[Any]]:
    shard: list[Any] = []
    taken = 0
    for file in files:
        path = root / file.path
        try:
            status = path.stat()
        except OSError as error:
            raise FileNotFoundError(f"cannot read {path}: {error.strerror}. Mend it, or take it out.") from error
        if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device may never end
            raise ValueError(f"{path} is not a regular file, and shards hold nothing else: take it out of the data.")
        length = status.st_size
        if length > LARGEST:
            raise ValueError(
                f"{path} has {length / 1e9:.1f} GB, more than the {LARGEST / 1e9:.1f} that a shard can hold."
            )
        if shard and taken + length > room:
            digest.update(repr(shard).encode())
            yield shard
            shard, taken = [], 0
        shard.append(file)
        taken += length
        digest.update(str(length).encode())
    digest.update(repr(shard).encode())
    yield shard
