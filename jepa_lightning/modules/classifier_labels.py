# B batch, K numbers of a label
"""The labels of a classifier: their kinds, told by the batches, and the metrics of an epoch."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor
from torchmetrics import Metric

from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind, form_of, in_form
from jepa_lightning.probing.metrics import precise
from jepa_lightning.types import Batch

UNNAMED = ""  # a label that has no name


class ClassifierLabels:
    """Reads labels of batches, and counts how well outputs fit them."""

    def __init__(self) -> None:
        self.kinds: dict[str, LabelKind] = {}
        self._metrics: dict[str, Metric] = {}

    def read(self, batch: Batch, sizes: Mapping[str, int], training: bool) -> dict[str, Tensor]:
        """Labels of a batch by name, as their kinds take them; none where the batch has none.

        Args:
            batch: of any data.
            sizes: number of outputs of each label.
            training: on a GPU a training step does not wait for the answer whether labels are right.

        Raises:
            ValueError: if there are outputs for none of them, or they do not fit the outputs.
        """
        if batch.labels is None:
            return {}
        given = batch.labels if isinstance(batch.labels, dict) else {UNNAMED: batch.labels}
        found = {name: target for name, target in given.items() if name in sizes}
        if not found:
            raise ValueError(
                f"Classifier has outputs for {_listed(sizes)}, and the batch has {_listed(given)}: set num_classes "
                "(--model.num_classes) as the data name their labels."
            )
        for name, target in found.items():
            kind = self.kinds.setdefault(name, _kind(name, target, sizes[name]))
            found[name] = in_form(kind, target)
            if (not training or target.device.type == "cpu") and (
                wrong := float(kind.offender(found[name]))
            ) > -torch.inf:
                raise ValueError(
                    f"Classifier has outputs for {_listed([name])}, and the batch has {kind.refusal(wrong)}"
                )
        return found

    def reset(self) -> None:
        """Starts counting."""
        self._metrics = {}

    def count(self, name: str, outputs: Tensor, target: Tensor) -> None:
        """Adds outputs to the metrics of a label.

        Args:
            name: of the label.
            outputs: ``[V, B, K]`` of the V views of each sample, whose mean counts.
            target: of ``read``.
        """
        kind = self.kinds[name]
        mean = (outputs.softmax(dim=2) if isinstance(kind, ClassLabel) else outputs).mean(dim=0)
        scored = kind.scored(mean, target)
        for suffix, metric in kind.metrics().items():
            full = "_".join(filter(None, (name, suffix or "accuracy")))
            kept = self._metrics.setdefault(full, metric.set_dtype(precise(mean.device)).to(mean.device))
            kept.update(*scored)

    def computed(self, stage: str) -> dict[str, Tensor]:
        """Metrics of the epoch, as ``STAGE/LABEL_METRIC``."""
        return {f"{stage}/{name}": metric.compute() for name, metric in self._metrics.items()}


def _kind(name: str, target: Tensor, size: int) -> LabelKind:
    form = form_of(target)
    if form is None or (form[0] is not ClassLabel and form[1] != size):
        raise ValueError(
            f"Classifier has {size} outputs for {_listed([name])}, and the batch has {target.dtype} of shape "
            f"{list(target.shape)}: give int64 [B] of classes, float [B] or [B, K] of values, or int64 [B, K] of 0 and "
            "1, and K as num_classes (--model.num_classes)."
        )
    return form[0](size)


def _listed(names: Iterable[str]) -> str:
    named = [name for name in names if name]
    return f"the label(s) {', '.join(named)}" if named else "a label without a name"
