# B batch
"""Whether data are the same as before: a hash of a data set as a module is shown it."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from jepa_lightning.data.media_files import MediaFiles
from jepa_lightning.data.shards.streaming import ShardedFiles

SHOWN = 32  # samples whose views are a part of it


def data_fingerprint(loader: DataLoader[Any], options: Mapping[str, Any]) -> str:
    """A hash of the options of a data set, its size, its files, and some of its samples.

    Files are known by path, label, size and time of change, shards by their index; of other data, and of how they are
    shown, 32 samples spread over the set are looked at, with their labels.

    Args:
        loader: gives the deterministic views.
        options: plain data.
    """
    dataset: Any = loader.dataset
    digest = hashlib.sha256(json.dumps([len(dataset), dict(options)], sort_keys=True, default=str).encode())
    source: Any = getattr(dataset, "source", dataset)
    indices: Any = range(len(dataset))
    if isinstance(source, Subset) and isinstance(source.dataset, MediaFiles):
        source, indices = source.dataset, source.indices
    if isinstance(source, ShardedFiles):  # the index tells their files from others
        digest.update(source.shards.shard_index.content.encode())
    elif isinstance(source, MediaFiles) and isinstance(source.root, Path):
        for index in indices:
            file = source.files[index]
            for path in source.paths_of(file):
                status = path.stat()
                digest.update(f"{path.name}|{file.path}|{file.label}|{status.st_size}|{status.st_mtime_ns}".encode())
    for index in np.linspace(0, len(dataset) - 1, min(SHOWN, len(dataset))).astype(int).tolist():
        _, sample = dataset[index]
        _add(digest, None if sample is None else [*tuple(sample)[:2], getattr(sample, "extras", None)])
    return digest.hexdigest()


def _add(digest: Any, value: Any) -> None:
    if isinstance(value, Tensor):
        digest.update(value.contiguous().numpy().tobytes())
    elif isinstance(value, (list, tuple)):
        for item in value:
            _add(digest, item)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            digest.update(str(name).encode())
            _add(digest, item)
    else:
        digest.update(repr(value).encode())
