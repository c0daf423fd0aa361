# B batch, N samples, D width, L layers, T tokens of a sample, K targets or classes
"""Features of a prediction run, in one file with the labels and paths of their samples."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.feature_file import Column
from jepa_lightning.callbacks.feature_rows import Rows, RowWriter
from jepa_lightning.callbacks.feature_target import FeatureTarget
from jepa_lightning.callbacks.prediction_source import PredictionSource, extra_columns
from jepa_lightning.options import Layers, check_options


class FeatureWriter(BasePredictionWriter):
    """Writes what ``predict`` gives to a file, on one device or several: each sample once, in the data set's order.

    The arrays of the file:

    - ``features``: float32 ``[N, D]``, or ``[N, L * D]`` with L layers.
    - ``tokens``: float32 ``[N, T, D]``, where asked for.
    - ``labels``, or ``labels/NAME`` for each of several: int64 ``[N]`` class indices, float32 ``[N]`` or ``[N, K]``
      regression targets, int64 ``[N, K]`` multi-hot vectors; -1 or NaN where unlabeled.
    - ``extras/NAME`` for each of the extras of a ``Batch``: int64 or float32 ``[N, ...]``.
    - ``loader``: int64 ``[N]``, which predict loader a row is from, where there are several.
    - ``index``: int64 ``[N]``, the place of each row in its data set, where samples are missing.
    - ``paths`` and ``class_names``, or ``class_names/NAME``: text, in a ``.safetensors`` as JSON in its metadata.

    Rows grow in a folder beside the file, which all devices must see, and take twice the room of the file at the end.
    Memory holds their paths and indices, about 200 bytes a sample, and 16 MB of features. The file appears whole or not
    at all.

    Args:
        path: the file; its suffix, .npz or .safetensors, says the format.
        layers: blocks of the encoder whose outputs are put side by side, negative ones from the end; None takes the
            output of the last one.
        tokens: write the features of each token too, T times as large.
        overwrite: replace an existing file; otherwise it is refused before the work.
        features: dotted name of a submodule to call on the images, or key of what ``predict_step`` returns; None
            takes ``features`` of it, which a ``JEPAModule`` returns.
        labels: index or key of the labels in the batch, where ``predict_step`` returns none; None for no labels. A
            batch that is a tensor or has a single item has none.
        images: index or key of the images in the batch.
        paths: index or key of the samples' paths in the batch, a sequence of text; None for no paths.

    Raises:
        ValueError: if the suffix is another one, or there are both layers and features.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import FeatureWriter
        >>> trainer = Trainer(callbacks=[FeatureWriter("features.npz", features="backbone")])
        >>> # then trainer.predict(module, loader, return_predictions=False)
    """

    def __init__(
        self,
        path: str | Path,
        layers: Layers | None = None,
        tokens: bool = False,
        overwrite: bool = False,
        features: str | None = None,
        labels: Item | None = 1,
        images: Item = 0,
        paths: Item | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__("batch")
        self.layers, self.tokens = layers, tokens
        self.target = FeatureTarget(Path(path), overwrite)
        if layers is not None and features is not None:
            raise ValueError(
                f"FeatureWriter: layers are blocks of a JEPAModule's evaluation encoder, and features='{features}' is "
                "one network: leave one of them out."
            )
        self.source = PredictionSource(type(self).__name__, features, labels, images, paths=paths)
        self._writer: RowWriter | None = None
        self._last_indices: Any = None
        self._seen: dict[int, int] = {}  # rows of each loader
        self._before: tuple[Any, Any] | None = None  # what the module was asked for

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out whether the file can be written, before the work.

        Raises:
            MisconfigurationException: if it cannot, or if the module does not know layers and tokens.
        """
        super().setup(trainer, pl_module, stage)
        if stage != "predict":
            return
        if self.source.features is None and (self.layers is not None or self.tokens):
            if not hasattr(pl_module, "predict_layers"):
                raise MisconfigurationException(
                    f"layers and tokens are those of a JEPAModule, and {type(pl_module).__name__} is none: leave them "
                    "out, or name a submodule with features=."
                )
            self._before = pl_module.predict_layers, pl_module.predict_tokens
            _ask(pl_module, self.layers, self.tokens)
        target = self.target
        fault = target.open() if trainer.is_global_zero else None
        fault, target.folder = trainer.strategy.broadcast((fault, target.folder))
        if fault:
            raise MisconfigurationException(f"cannot write features to {target.path}: {fault}")
        if target.folder is None or not target.folder.is_dir():
            raise MisconfigurationException(
                f"features are collected in {target.folder}, which does not exist on this machine: give a path on a "
                "disk that all machines share."
            )
        self._writer, self._seen = RowWriter(target.folder, trainer.global_rank), {}

    def write_on_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        prediction: Any,
        batch_indices: Sequence[int] | None,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int,
    ) -> None:
        """Appends one batch to the rows on the disk."""
        assert self._writer is not None
        features = self.source.pooled(trainer, pl_module, prediction, batch).float()
        columns = {
            "features": features,
            **self.source.label_columns(pl_module, prediction, batch),
            **extra_columns(batch),
        }
        if self.tokens:
            columns["tokens"] = self.source.tokens(trainer, pl_module, prediction, batch).float()
        indices = self._indices(trainer, batch, batch_indices, dataloader_idx, len(features))
        places = torch.stack([torch.full_like(indices, dataloader_idx), indices], dim=1)
        if batch_idx == dataloader_idx == 0 and trainer.is_global_zero:
            size = sum(column.numel() * column.element_size() for column in columns.values())
            self.target.check_room(sum(trainer.num_predict_batches) * trainer.world_size, size)
        with self.target.faults():
            self._writer.append(columns, places, self.source.paths_of(pl_module, prediction, batch))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Puts the rows of all devices in order, writes the file and prints its name.

        Raises:
            MisconfigurationException: if there are none.
        """
        assert self._writer is not None
        assert self.target.folder is not None
        with self.target.faults():
            self._writer.save()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            rows = Rows(self.target.folder, trainer.world_size)
            if not len(rows):
                raise MisconfigurationException("there are no features to write: the predict loader gave no batch.")
            self._write(trainer, rows)
        trainer.strategy.barrier()  # so that no device continues before there is a file

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Removes what is not the file."""
        if stage == "predict":
            self._clean(trainer, pl_module)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Removes what is not the file."""
        self._clean(trainer, pl_module)

    def _indices(self, trainer: Trainer, batch: Any, batch_indices: Any, loader: int, size: int) -> Tensor:
        """The place in its data set of each row, ``[B]``; where it is not known, one device counts.

        Raises:
            MisconfigurationException: if there are several devices and it is not known.
        """
        known = getattr(batch, "indices", ())
        # where a loader has none, Lightning gives those of the last batch that had some
        if not known and batch_indices is not self._last_indices:
            known = batch_indices or ()
        self._last_indices = batch_indices
        first = self._seen.get(loader, 0)
        self._seen[loader] = first + size
        if len(known) == size:
            return torch.tensor(known)
        if trainer.world_size > 1:
            raise MisconfigurationException(
                "features of several devices are put in order by the indices of their samples, and the predict loader "
                "has none: use one device (--trainer.devices 1), or a DataLoader over a data set with a length."
            )
        return torch.arange(first, first + size)

    def _write(self, trainer: Trainer, rows: Rows) -> None:
        columns, texts = rows.columns(), _class_names(trainer, rows.forms)
        for name, values, wanted in (
            ("loader", rows.loaders, rows.loaders.any()),
            ("index", rows.indices, _has_gaps(rows)),
        ):
            if wanted:
                columns[name] = Column("int64", (), lambda values=values: [values])  # type: ignore[misc]
        if rows.paths:
            texts = {"paths": rows.paths, **texts}
        path = self.target.write(len(rows), columns, texts)
        width = columns["features"].shape[-1]
        names = [*columns, *dict.fromkeys(name.partition("/")[0] for name in texts)]
        print(f"wrote {len(rows)} features of width {width} to {path}: {', '.join(names)}")

    def _clean(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.target.close()
        self.target.folder, self._writer = None, None
        if self._before is not None:
            _ask(pl_module, *self._before)
        self._before = None


def _ask(module: Any, layers: Sequence[int] | None, tokens: bool) -> None:
    """Sets what ``predict_step`` gives."""
    module.predict_layers, module.predict_tokens = layers, tokens


def _class_names(trainer: Trainer, columns: Mapping[str, Any]) -> dict[str, Sequence[str]]:
    """The names of the classes of each label in the file, where the data module knows them."""
    names = getattr(trainer.datamodule, "class_names", None)  # type: ignore[attr-defined]
    if isinstance(names, Mapping):
        return {f"class_names/{label}": list(n) for label, n in names.items() if n and f"labels/{label}" in columns}
    return {"class_names": list(names)} if names and "labels" in columns else {}


def _has_gaps(rows: Rows) -> bool:
    """Whether the rows of some loader are not all samples of its data set, from the first one on."""
    return any(
        not np.array_equal(rows.indices[rows.loaders == loader], np.arange((rows.loaders == loader).sum()))
        for loader in np.unique(rows.loaders)
    )
