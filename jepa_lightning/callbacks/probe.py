# B batch, D width, C classes
"""What online probes share: labels by name, the accuracy of each over a validation, and the best so far."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor
from torchmetrics.classification import MulticlassAccuracy

from jepa_lightning.encode import encode
from jepa_lightning.eval_mode import eval_mode
from jepa_lightning.options import PositiveInt
from jepa_lightning.types import Batch

DROP = 0.05  # below the best so far, in accuracy
LASTING = 2  # validations in a row


class OnlineProbe(Callback, ABC):
    """Scores the features of a validation against the labels.

    Logs the top-1 accuracy as ``val/NAME`` for the first label and, where there are several, as ``val/NAME_LABEL`` for
    each. Where classifiers are compared, those are the best of them on the validation data, and each one is logged
    below it as ``val/NAME_LABEL/VARIANT``. Labels of -1 are left out. Warns when the accuracy stays clearly below its
    own best: the loss does not tell.

    Args:
        num_classes: number of classes, or of each label by name, which also chooses the labels; None takes the
            DataModule's.

    Attributes:
        best: the highest accuracy so far of each logged name.
    """

    name: str

    def __init__(self, num_classes: PositiveInt | dict[str, PositiveInt] | None = None) -> None:
        self.num_classes = num_classes
        self.best: dict[str, float] = {}
        self._classes: dict[str, int] = {}
        self._accuracy: dict[tuple[str, str], MulticlassAccuracy] = {}  # by label and variant
        self._labelled: dict[str, Tensor] = {}  # number of samples that were scored
        self._low = 0

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether there is something to score with."""

    @property
    def variants(self) -> Sequence[str]:
        """Names of classifiers that are compared in one callback; the only one has none."""
        return ("",)

    @abstractmethod
    def scores(self, features: Tensor) -> dict[str, dict[str, Tensor]]:
        """Scores of the classes, ``[B, C]``, by variant and then by label, from what ``inputs`` gives."""

    def inputs(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch) -> Tensor:
        """Features ``[B, D]`` of a step, encoded here where the step has not done it."""
        features: Tensor | None = outputs["features"]
        if features is None:
            with torch.no_grad(), eval_mode(pl_module), trainer.precision_plugin.forward_context():
                features = encode(pl_module, shown(trainer, batch))
        return features

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out what the labels are.

        Raises:
            MisconfigurationException: if neither the callback nor the DataModule says.
        """
        if stage not in ("fit", "validate"):
            return
        classes = self.num_classes or getattr(trainer.datamodule, "num_classes", None)  # type: ignore[attr-defined]
        if not classes:
            raise MisconfigurationException(
                f"{type(self).__name__} needs labels, and {data_name(trainer)} has no num_classes: use labelled data, "
                "give the callback num_classes, or leave it out."
            )
        # a single label has no name
        self._classes = dict(classes) if isinstance(classes, dict) else {"": classes}
        for label, number in self._classes.items():
            if number < 2:
                raise MisconfigurationException(
                    f"{type(self).__name__} cannot tell {number} class apart for {_listed([label])}: use data with at "
                    "least 2 classes, or leave the callback out."
                )

    def labels(self, batch: Batch) -> dict[str, Tensor]:
        """The labels of a batch by name; empty where it has none.

        Raises:
            MisconfigurationException: if the batch has other labels than those named in ``num_classes``.
        """
        if batch.labels is None:
            return {}
        given = batch.labels if isinstance(batch.labels, dict) else {"": batch.labels}
        if self._classes.keys() <= given.keys():
            return {label: given[label] for label in self._classes}
        raise MisconfigurationException(
            f"{type(self).__name__} expects {_listed(self._classes)}, and the batches have {_listed(given)}: "
            "name the labels in num_classes as the data does."
        )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts counting."""
        self._labelled = {label: torch.zeros((), device=pl_module.device) for label in self._classes}
        self._accuracy = {
            (label, variant): MulticlassAccuracy(classes, average="micro", ignore_index=-1).to(pl_module.device)
            for label, classes in self._classes.items()
            for variant in self.variants
        }

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Scores the features of one batch, which the validation step has computed."""
        labels = self.labels(batch)
        for label, target in labels.items():
            if (highest := int(target.max())) >= self._classes[label]:
                raise MisconfigurationException(
                    f"{type(self).__name__} has {self._classes[label]} classes for {_listed([label])}, and the batch "
                    f"has a sample of class {highest}: correct num_classes."
                )
        if not labels or not self.ready:
            return
        found = self.scores(self.inputs(trainer, pl_module, outputs, batch).float())
        for variant, by_label in found.items():
            for label, scores in by_label.items():
                self._accuracy[label, variant].update(scores, labels[label])
        for label in next(iter(found.values())):
            self._labelled[label] += (labels[label] >= 0).sum()

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the accuracies, notes the best, and warns when the first label's stays below it."""
        if not self.ready or trainer.sanity_checking:
            return
        labelled = trainer.strategy.reduce(torch.stack(list(self._labelled.values())), reduce_op="sum")
        self.require_labelled(bool(labelled.any()), "validation", trainer)
        found: dict[str, float] = {}
        for label, count in zip(self._labelled, labelled, strict=True):
            if count > 0:
                each = {variant: float(self._accuracy[label, variant].compute()) for variant in self.variants}
                value = max(each.values())
                found.setdefault(f"val/{self.name}", value)
                name = f"val/{self.name}_{label}" if len(self._classes) > 1 else f"val/{self.name}"
                found[name] = value
                found |= {f"{name}/{variant}": accuracy for variant, accuracy in each.items() if variant}
        for name, value in found.items():
            pl_module.log(name, value, prog_bar=name == "val/linear", sync_dist=True)
            self.best[name] = max(value, self.best.get(name, 0.0))
        self._watch(f"val/{self.name}", found[f"val/{self.name}"])

    def require_labelled(self, found: bool, where: str, trainer: Trainer) -> None:
        """Refuses to go on with data in which no sample is labelled.

        Raises:
            MisconfigurationException: if none was found.
        """
        if not found:
            raise MisconfigurationException(
                f"{type(self).__name__} found no labelled sample in {where}: the labels of {data_name(trainer)} are "
                "None or -1. Use labelled data, or leave the callback out."
            )

    def state_dict(self) -> dict[str, Any]:
        """The best accuracies, and for how long the accuracy has been low."""
        return {"best": dict(self.best), "low": self._low}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores them."""
        self.best, self._low = dict(state_dict["best"]), state_dict["low"]

    def _watch(self, name: str, value: float) -> None:
        self._low = self._low + 1 if value < self.best[name] - DROP else 0
        if self._low == LASTING:
            rank_zero_warn(
                f"{name} is at {value:.3f} and was more than {100 * DROP:.0f} points below its best of "
                f"{self.best[name]:.3f} in the last {LASTING} validations: the features get worse, whatever the loss "
                "does. Lower the learning rate or add a regularizer, and keep the best weights with "
                f"ModelCheckpoint(monitor='{name}', mode='max')."
            )


def shown(trainer: Trainer, batch: Batch) -> list[Tensor]:
    """The views whose features a probe takes: the first in training, where they differ by chance, and else all."""
    return batch.views[:1] if trainer.training else batch.views


def data_name(trainer: Trainer) -> str:
    """Where a run's data comes from, for messages."""
    source = trainer.datamodule  # type: ignore[attr-defined]
    return "the data (there is no DataModule)" if source is None else type(source).__name__


def _listed(labels: Any) -> str:
    names = [label for label in labels if label]
    return f"the label(s) {', '.join(names)}" if names else "a single label without a name"
