# B batch, D width, C classes
"""What online probes share: labels by name, the metrics of each over a validation or a test, and the best so far."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.probes.best import BestValues
from jepa_lightning.callbacks.probes.fresh import FreshCallback
from jepa_lightning.callbacks.probes.labels import ProbeLabels, data_name
from jepa_lightning.callbacks.probes.named import NamedCallback
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.options import PositiveInt
from jepa_lightning.probing.label_kinds import LabelKind
from jepa_lightning.probing.scores import ProbeScores


class OnlineProbe(NamedCallback, FreshCallback):
    """Scores the features of a validation, or of a test, against the labels.

    Dtype and shape say what a label is, and so which metrics it gets; ``NAME`` is the probe's:

    ==========================================  ==========================================  ======================
    label                                       unlabeled                                   metrics
    ==========================================  ==========================================  ======================
    int64 ``[B]``, class indices                -1                                          top-1 accuracy ``NAME``
    float ``[B]`` or ``[B, K]``, values         NaN anywhere in the row                     R2 averaged over K
                                                                                            ``NAME_r2``, mean
                                                                                            absolute error
                                                                                            ``NAME_mae``
    int64 ``[B, K]`` of 0 and 1, multi-hot      a row of -1                                 macro mAP ``NAME_map``
    ==========================================  ==========================================  ======================

    Logs them as ``val/NAME``, or ``test/NAME`` in ``Trainer.test``. Of several labels each is also logged with its own
    name, as ``val/NAME_LABEL``, ``val/NAME_LABEL_r2``, and the names without one are those of the first label of that
    kind. Where classifiers are compared, those are the best of them on the validation data, and each one is logged
    below it as ``val/NAME_LABEL/VARIANT``. Further loaders have Lightning's ``/dataloader_idx_1`` at the end. Anything
    that is no such label is refused. Warns when the metric of the first label stays clearly below its own best in the
    first loader: the loss does not tell.

    A fit without ``ckpt_path`` starts afresh, whatever the callback has been used for before.

    A ``JEPAModule`` needs no further options. For any other LightningModule, ``features`` says what to probe, and
    ``images`` and ``labels`` where they are in a batch; the defaults fit batches of ``(images, labels)``. Where the
    step does not return features, a submodule is called on the images, in eval mode and without gradients, once for
    all callbacks. The module itself is neither changed nor patched.

    Args:
        num_classes: number of classes, or of each label by name, which also chooses the labels (for values and
            multi-hot labels the number is K); None takes the DataModule's for class indices, and all other labels.
        name: of the metrics and of the state in checkpoints; two probes of a type need two names.
        features: key of the dict that the step returns, or dotted name of a submodule. It gives features ``[B, D]``,
            tokens ``[B, N, D]`` or channels-first maps ``[B, D, H, W]``, which are averaged over tokens or places.
            None takes those of a ``JEPAModule``, or what the step returns as ``features``.
        labels: index or key of the labels in the batch: a tensor, or a dict of tensors by name.
        images: index or key of the images in the batch: a tensor, or a sequence of views, of which training steps
            show the first and validations all.

    Attributes:
        best: the best value so far of each name logged in validation: the highest, or the lowest error.

    Raises:
        ValueError: if the name is not made of letters, digits, ``_`` and ``-``.
    """

    def __init__(
        self,
        num_classes: PositiveInt | dict[str, PositiveInt] | None = None,
        name: str | None = None,
        features: str | None = None,
        labels: Item = 1,
        images: Item = 0,
    ) -> None:
        self.rename(name)
        self.num_classes = num_classes
        self.source = Source(type(self).__name__, features, labels, images)
        self._labels = ProbeLabels(type(self).__name__, "the data")
        self._scores: dict[int, ProbeScores] = {}  # by loader
        self._best = BestValues()

    @property
    def best(self) -> dict[str, float]:
        """The best value so far of each name."""
        return self._best.values

    @property
    @abstractmethod
    def ready(self) -> bool:
        """Whether there is something to score with."""

    @property
    def variants(self) -> Sequence[str]:
        """Names of classifiers that are compared in one callback; the only one has none."""
        return ("",)

    @property
    def kinds(self) -> Mapping[str, LabelKind]:
        """Kind of each label by name; empty before the first labeled batch."""
        return self._labels.kinds

    @property
    def _classes(self) -> dict[str, int]:
        """Number of outputs for each label."""
        return {label: kind.size for label, kind in self.kinds.items()}

    @abstractmethod
    def scores(self, features: Tensor) -> dict[str, dict[str, Tensor]]:
        """Outputs for each label, ``[B, size of its kind]``, by variant and then by label, from what ``inputs`` gives.

        Those for classes and multi-hot labels are logits or votes, those for values are in the units of the label.
        """

    def inputs(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any) -> Tensor:
        """What ``scores`` takes, here features ``[B, D]``; computed if the step has not returned them."""
        return self.source.pooled(trainer, pl_module, outputs, batch)

    def given(self, pl_module: LightningModule, outputs: Any) -> Tensor | None:
        """The same, if the step has returned it."""
        return self.source.pooled_in(pl_module, outputs)

    def reset(self) -> None:
        """Forgets the best."""
        self._best = BestValues()

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out how many classes there are.

        Raises:
            MisconfigurationException: if another probe has the same name.
        """
        super().setup(trainer, pl_module, stage)
        self.source.forget()
        self.require_own_name(trainer, OnlineProbe)
        known = getattr(trainer.datamodule, "num_classes", None)  # type: ignore[attr-defined]
        self._labels = ProbeLabels(type(self).__name__, data_name(trainer), self.num_classes, known)

    def labels(self, pl_module: LightningModule, batch: Any) -> dict[str, Tensor]:
        """The labels of a batch by name, as their kinds take them; empty where it has none.

        Raises:
            MisconfigurationException: if they are of no kind, out of range, or others than ``num_classes`` names.
        """
        return self._labels.read(self.source.labels_of(pl_module, batch))

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts counting."""
        self._scores = {}

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """As in validation."""
        self.on_validation_epoch_start(trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Scores the features of one batch."""
        labels = self.labels(pl_module, batch)
        if not labels or not self.ready:
            return
        found = self.scores(self.inputs(trainer, pl_module, outputs, batch).float())
        self._of_loader(dataloader_idx, pl_module.device).update(found, labels)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """As in validation."""
        self.on_validation_batch_end(trainer, pl_module, outputs, batch, batch_idx, dataloader_idx)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the metrics, notes the best, and warns when the first label's stays below it."""
        if trainer.sanity_checking or not self.ready:
            return
        self._log(trainer, pl_module, "val", len(trainer.num_val_batches))

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the metrics."""
        if self.ready:
            self._log(trainer, pl_module, "test", len(trainer.num_test_batches))

    def _of_loader(self, loader: int, device: torch.device) -> ProbeScores:
        if loader not in self._scores:
            self._scores[loader] = ProbeScores(self.kinds, self.variants, device)
        return self._scores[loader]

    def _log(self, trainer: Trainer, pl_module: LightningModule, stage: str, loaders: int) -> None:
        self._labels.agree(trainer)
        self._labels.check(trainer, pl_module.device)
        each = [self._of_loader(loader, pl_module.device) for loader in range(loaders)]
        counts = trainer.strategy.reduce(torch.stack([scores.counts for scores in each]), reduce_op="sum")
        self.require_labeled(bool(counts.any()), "validation" if stage == "val" else "the test", trainer)
        for loader, (scores, count) in enumerate(zip(each, counts, strict=True)):
            figures = scores.figures(self.name, count)
            end = f"/dataloader_idx_{loader}" if loader else ""
            for figure in figures:
                name = f"{stage}/{figure.name}{end}"
                # Lightning puts the loader's number at the end by itself in hooks of a batch alone
                in_bar = name == "val/linear"
                pl_module.log(name, figure.value, prog_bar=in_bar, sync_dist=True, add_dataloader_idx=False)
                if stage == "val":
                    self._best.add(name, figure)
            if stage == "val" and loader == 0 and figures:
                self._best.watch(f"val/{figures[0].name}", figures[0].value)

    def require_labeled(self, found: bool, where: str, trainer: Trainer) -> None:
        """Refuses data in which no sample is labeled.

        Raises:
            MisconfigurationException: if none was found.
        """
        if not found:
            self._labels.require_number()
            raise MisconfigurationException(
                f"{type(self).__name__} found no labeled sample in {where}: the labels of {data_name(trainer)} are "
                "None or -1. Use labeled data, or leave the callback out."
            )

    def state_dict(self) -> dict[str, Any]:
        """The best accuracies, and for how long the accuracy has been low."""
        return self._best.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores them."""
        super().load_state_dict(state_dict)
        self._best.load_state_dict(state_dict)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Drops features that callbacks have shared."""
        super().teardown(trainer, pl_module, stage)
        self.source.forget()
