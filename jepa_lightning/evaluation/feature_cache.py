# S samples, B batch, D width
"""Features of a data set, computed once and kept on the disk, from where they are read as they are used."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from jepa_lightning.callbacks.feature_rows import Rows, RowWriter
from jepa_lightning.types import Batch

SAVE_EVERY = 5.0  # seconds between notes to resume from
UNNAMED = "class"  # a label that has no name

Encode = Callable[[Batch], dict[str, Tensor]]


class Table(NamedTuple):
    """Features and labels of S samples.

    Attributes:
        features: ``[S, ...]`` by kind, read from the disk as they are used.
        labels: ``[S]`` or ``[S, K]`` by name; ``class`` where they have none.
    """

    features: Mapping[str, np.ndarray[Any, Any]]
    labels: Mapping[str, Tensor]


def cached_table(folder: Path, loader: DataLoader[Any], encode: Encode, title: str) -> Table:
    """The features of all samples of a loader; those that an earlier run has computed are taken from the disk.

    Args:
        folder: of these features alone: its name must follow from the data and the encoder. A run that was killed has
            left some of the rows there, and is continued.
        loader: gives the deterministic views, in order.
        encode: a batch to features ``[B, ...]`` by kind, float32.
        title: of the progress bar.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _compute(folder, loader, encode, title)
    rows = Rows(folder, 1)
    columns = {name: rows.array(name) for name in rows.forms if name != "places"}
    labels = {
        name.removeprefix("labels/"): torch.from_numpy(np.array(values))
        for name, values in columns.items()
        if name.startswith("labels/")
    }
    return Table({name: values for name, values in columns.items() if not name.startswith("labels/")}, labels)


def number_cached(folder: Path) -> int:
    """How many samples ``cached_table`` does not compute again.

    Args:
        folder: as of ``cached_table``.
    """
    return RowWriter(folder, 0, resume=True).reached


def _compute(folder: Path, loader: DataLoader[Any], encode: Encode, title: str) -> None:
    writer = RowWriter(folder, 0, resume=True)
    size, batch_size = len(loader.dataset), int(loader.batch_size or 1)  # type: ignore[arg-type]
    # from whole batches on, so that a resumed run multiplies the same matrices
    reached = writer.reached
    if 0 < size <= reached:
        return
    rest = DataLoader(
        Subset(loader.dataset, range(reached, size)),
        batch_size,
        num_workers=loader.num_workers,
        collate_fn=loader.collate_fn,
    )
    saved = time.monotonic()
    with tqdm(total=size, initial=reached, desc=title, unit="sample", delay=1, leave=False) as bar:
        for batch in rest:
            indices = torch.tensor(batch.indices)
            places = torch.stack([torch.zeros_like(indices), indices], dim=1)
            writer.append({**encode(batch), **_labels(batch)}, places, ())
            # not all samples of a batch may be in it, and batches of the run before may have had another size
            reached = min(reached + batch_size, size)
            bar.update(len(indices))
            if time.monotonic() - saved >= SAVE_EVERY:
                writer.save(reached)
                saved = time.monotonic()
    writer.save(reached)


def _labels(batch: Batch) -> dict[str, Tensor]:
    named = batch.labels if isinstance(batch.labels, dict) else {UNNAMED: batch.labels}
    return {
        f"labels/{name}": each.float() if each.is_floating_point() else each.long()
        for name, each in named.items()
        if each is not None
    }
