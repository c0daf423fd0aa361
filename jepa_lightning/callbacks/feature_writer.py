# B batch, N samples, D width, L layers, T tokens of a sample, K targets or classes
"""Features of a prediction run, in one file with the labels and paths of their samples."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain, count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.feature_file import SUFFIXES, Column, write_columns
from jepa_lightning.callbacks.feature_rows import Rows, RowWriter
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
        self.path, self.layers, self.tokens, self.overwrite = Path(path), layers, tokens, overwrite
        if self.path.suffix not in SUFFIXES:
            raise ValueError(
                f"cannot write features to {path}: its suffix is {self.path.suffix or 'missing'!r}, give "
                f"{' or '.join(SUFFIXES)}."
            )
        if layers is not None and features is not None:
            raise ValueError(
                f"FeatureWriter: layers are blocks of a JEPAModule's evaluation encoder, and features='{features}' is "
                "one network: leave one of them out."
            )
        self.source = PredictionSource(type(self).__name__, features, labels, images, paths=paths)
        self._folder: Path | None = None
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
        fault = self._open() if trainer.is_global_zero else None
        fault, self._folder = trainer.strategy.broadcast((fault, self._folder))
        if fault:
            raise MisconfigurationException(f"cannot write features to {self.path}: {fault}")
        if self._folder is None or not self._folder.is_dir():
            raise MisconfigurationException(
                f"features are collected in {self._folder}, which does not exist on this machine: give a path on a "
                "disk that all machines share."
            )
        self._writer, self._seen = RowWriter(self._folder, trainer.global_rank), {}

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
            self._check_room(trainer, sum(column.numel() * column.element_size() for column in columns.values()))
        with self._disk_faults():
            self._writer.append(columns, places, self.source.paths_of(pl_module, prediction, batch))

    def on_predict_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Puts the rows of all devices in order, writes the file and prints its name.

        Raises:
            MisconfigurationException: if there are none.
        """
        assert self._writer is not None
        assert self._folder is not None
        with self._disk_faults():
            self._writer.close()
        trainer.strategy.barrier()
        if trainer.is_global_zero:
            rows = Rows(self._folder, trainer.world_size)
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

    def _open(self) -> str | None:
        """Makes the folder of the rows; says why the file cannot be written, if so."""
        try:
            if self.path.is_dir():
                return "it is a folder."
            if os.path.lexists(self.path) and not self.overwrite:
                return "it exists; give another name, or overwrite=True (--overwrite true) to replace it."
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._folder = Path(tempfile.mkdtemp(prefix=".features.", dir=self.path.parent))
            with (self._folder / "trial").open("wb") as file:  # a full disk still takes names
                file.write(bytes(4096))
                os.fsync(file.fileno())
        except OSError as error:
            return f"{error.strerror or error}."
        return None

    def _check_room(self, trainer: Trainer, size: int) -> None:
        """Refuses work whose rows the disk cannot hold, as far as their number is known.

        Args:
            trainer: knows how many batches there are.
            size: bytes of one.

        Raises:
            MisconfigurationException: if it cannot.
        """
        batches = sum(trainer.num_predict_batches) * trainer.world_size
        needed = 2 * size * batches if batches < float("inf") else 0
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise MisconfigurationException(
                f"cannot write features to {self.path}: they need {needed / 1e9:.1f} GB while they are put in order, "
                f"and the disk has {free / 1e9:.1f} GB."
            )

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
        path = self.path if self.overwrite else _free(self.path)
        with self._disk_faults():
            write_columns(path, len(rows), columns, texts)
        self.overwrite |= path == self.path  # what this callback wrote itself
        width = columns["features"].shape[-1]
        names = [*columns, *dict.fromkeys(name.partition("/")[0] for name in texts)]
        print(f"wrote {len(rows)} features of width {width} to {path}: {', '.join(names)}")

    @contextmanager
    def _disk_faults(self) -> Iterator[None]:
        """Says in one line what the disk refuses."""
        try:
            yield
        except OSError as error:
            raise MisconfigurationException(
                f"cannot write features to {self.path}: {error.strerror or error}. What was there before is unchanged."
            ) from error

    def _clean(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self._folder is not None and trainer.is_global_zero:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._writer = None, None
        if self._before is not None:
            _ask(pl_module, *self._before)
        self._before = None


def _free(path: Path) -> Path:
    """The name, or one with a number if another run has taken it in the meantime."""
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(1))
    return next(name for name in chain([path], names) if not os.path.lexists(name))


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
