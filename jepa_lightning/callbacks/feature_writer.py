# N samples, D width
"""Features of a prediction run, in one file with the labels and paths of their samples."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from safetensors.torch import save_file
from torch import Tensor

SUFFIXES = (".npz", ".safetensors")


class FeatureWriter(Callback):
    """Writes what ``predict`` gives to a file: ``features`` ``[N, D]`` and, where there are any, ``labels`` and paths.

    ``labels`` is int64 ``[N]``, or ``labels/NAME`` for each of several. ``paths`` is an array of text in a ``.npz``,
    and JSON in the metadata of a ``.safetensors``. Rows are in the order of the predict loader. Everything is held in
    memory until the end: 4 bytes for each of N * D.

    Args:
        path: the file; its suffix, .npz or .safetensors, says the format. An existing file is replaced.

    Raises:
        ValueError: if the suffix is another one.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if self.path.suffix not in SUFFIXES:
            raise ValueError(
                f"cannot write features to {path}: its suffix is {self.path.suffix or 'missing'!r}, give "
                f"{' or '.join(SUFFIXES)}."
            )
        self._columns: dict[str, list[Tensor]] = {}
        self._paths: list[str] = []

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Makes the folder, so that a wrong one shows before the work.

        Raises:
            MisconfigurationException: if there are several devices, which would each hold a part.
        """
        if stage != "predict":
            return
        if trainer.world_size > 1:
            raise MisconfigurationException(
                f"features are written from one device and the Trainer has {trainer.world_size}: "
                "give it devices=1 (--trainer.devices 1)."
            )
        self.path.parent.mkdir(parents=True, exist_ok=True)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts anew."""
        self._columns, self._paths = {}, []

    def on_predict_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keeps one batch."""
        labels = outputs["labels"]
        named = {f"labels/{name}": column for name, column in labels.items()} if isinstance(labels, dict) else {}
        if isinstance(labels, Tensor):
            named = {"labels": labels}
        for name, column in ({"features": outputs["features"].float()} | named).items():
            self._columns.setdefault(name, []).append(column.cpu())
        self._paths.extend(outputs["paths"])

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes the file and says so."""
        if not self._columns:
            raise MisconfigurationException("there are no features to write: the predict loader gave no batch.")
        columns = {name: torch.cat(parts) for name, parts in self._columns.items()}
        if self.path.suffix == ".npz":
            arrays: dict[str, Any] = {name: column.numpy() for name, column in columns.items()}
            if self._paths:
                arrays["paths"] = np.array(self._paths)
            np.savez(self.path, **arrays)
        else:
            save_file(columns, self.path, metadata={"paths": json.dumps(self._paths)} if self._paths else None)
        rows, width = columns["features"].shape
        names = ", ".join([*columns, *(["paths"] if self._paths else [])])
        print(f"wrote {rows} features of width {width} to {self.path}: {names}")
