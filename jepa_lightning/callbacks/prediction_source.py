# B batch, K columns of a label
"""Features, labels and paths of a prediction: what ``predict_step`` returns, and otherwise what the batch has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lightning.pytorch import LightningModule
from torch import Tensor

from jepa_lightning.callbacks.batch_items import described
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.types import Batch, Labels


@dataclass(eq=False)
class PredictionSource(Source):
    """A source that also finds paths, and takes labels where there are any.

    Args:
        paths: index or key of the paths in the batch, a sequence of text; None for no paths.
    """

    paths: int | str | None = None

    def label_columns(self, module: LightningModule, prediction: Any, batch: Any) -> dict[str, Tensor]:
        """Labels ``[B]`` or ``[B, K]``, int64 or float32, by the names of their columns in the file."""
        labels = self._labels_in(module, prediction, batch)
        if labels is None:
            return {}
        named = {f"labels/{name}": each for name, each in labels.items()} if isinstance(labels, Mapping) else None
        columns = {"labels": labels} if named is None else named
        return {name: each.float() if each.is_floating_point() else each.long() for name, each in columns.items()}  # type: ignore[union-attr]

    def paths_of(self, module: LightningModule, prediction: Any, batch: Any) -> Sequence[str]:
        """One path a sample, or none."""
        if isinstance(prediction, Mapping) and "paths" in prediction:
            returned: Sequence[str] = prediction["paths"]
            return returned
        if self.paths is None:
            return batch.paths if isinstance(batch, Batch) else ()
        found = self._item(module, batch, "paths")
        if isinstance(found, (list, tuple)) and all(isinstance(path, str) for path in found):
            return found
        raise self._refused(
            module,
            batch,
            f"paths={self.paths!r} of the batch is {described(found)}",
            "write paths= with the index or key of a sequence of text",
        )

    def _labels_in(self, module: LightningModule, prediction: Any, batch: Any) -> Labels | None:
        if isinstance(prediction, Mapping) and "labels" in prediction:
            returned: Labels | None = prediction["labels"]
            return returned
        alone = isinstance(batch, Tensor) or (isinstance(batch, (list, tuple)) and len(batch) == 1)
        return None if self.labels == 1 and alone else self.labels_of(module, batch)


def extra_columns(batch: Any) -> dict[str, Tensor]:
    """Extras ``[B, ...]`` of a ``Batch``, int64 or float32, by the names of their columns in the file."""
    extras = batch.extras if isinstance(batch, Batch) else {}
    return {f"extras/{n}": each.float() if each.is_floating_point() else each.long() for n, each in extras.items()}
