# B batch, D width, C classes, M samples in the bank, K neighbors
"""A nearest-neighbor classifier at validation: nothing to train, and sensitive to the geometry of the features."""

from collections.abc import Iterable, Sized
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.utilities.distributed import gather_all_tensors

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.probes.draws import drawn
from jepa_lightning.callbacks.probes.labels import listed
from jepa_lightning.callbacks.probes.loaders import on_device, training_loader
from jepa_lightning.options import PositiveFloat, PositiveInt, check_options
from jepa_lightning.probing.label_kinds import ClassLabel

FEW = 10  # images of a class in the bank below which an accuracy tells of the bank more than of the features
SPACING = 25  # a training step of I-JEPA takes at least twice as long as a forward pass


class OnlineKNN(OnlineProbe):
    """Votes of the nearest training images, weighted by exp(cosine / temperature), over centered features.

    For values it is the weighted mean of theirs, for multi-hot labels the weighted share that has each one; which
    labels there may be, and what is logged as ``val/knn``, is ``OnlineProbe``'s.

    The bank is made of training images, encoded again at each validation. A DataModule with a ``memory_dataloader``, as
    all of this package have, gives them in the deterministic view. Otherwise they come from the training loader, with
    its augmentations, which lower the accuracy: the first ``max_samples`` of a fixed random order of the samples that
    its sampler yields in an epoch, or of what it gives where the data set has no length. Samples that the sampler
    leaves out stay out of the bank. The loader itself is not iterated, and its shuffling does not move.
    Source: instance discrimination, arXiv 1805.01978, without its centring.

    Args:
        num_classes: number of classes, or of each label by name, which also chooses the labels (for values and
            multi-hot labels the number is K); None takes the DataModule's for class indices, and all other labels.
        k: neighbors that vote, or all where there are fewer.
        temperature: of the weights.
        max_samples: images in the bank, drawn once; bounds time and memory, ``[B, max_samples]`` for each batch.
            Warns where these are fewer than 10 a class.
        every_n_epochs: skip the validations of the other epochs. None takes part in the first validation, in the last,
            and in those before which training has seen 25 times as many images as the bank has, so that it takes about
            2 % of a long run.
        name: of the metrics and of the state in checkpoints; two probes of a type need two names.
        features: dotted name of a submodule of any LightningModule, which is called on the images of the bank; None is
            for a ``JEPAModule``.
        labels: index or key of the labels in the batch: a tensor, or a dict of tensors by name.
        images: index or key of the images in the batch: a tensor, or a sequence of views.

    Raises:
        ValueError: if k, temperature, max_samples or every_n_epochs is not positive.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import OnlineKNN
        >>> trainer = Trainer(callbacks=[OnlineKNN(features="backbone", labels=1, num_classes=10)])
    """

    name = "knn"

    def __init__(
        self,
        num_classes: PositiveInt | dict[str, PositiveInt] | None = None,
        k: PositiveInt = 20,
        temperature: PositiveFloat = 0.07,
        max_samples: PositiveInt = 1000,
        every_n_epochs: PositiveInt | None = None,
        name: str | None = None,
        features: str | None = None,
        labels: Item = 1,
        images: Item = 0,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(num_classes, name, features, labels, images)
        self.k = k
        self.temperature = temperature
        self.max_samples = max_samples
        self.every_n_epochs = every_n_epochs
        self._bank: dict[str, tuple[Tensor, Tensor]] = {}  # features [M, D] and labels [M] or [M, K] of each label
        self._mean: Tensor  # [D]
        self._seen: int | None = None  # images in training since the last bank; None before the first

    @property
    def ready(self) -> bool:
        """Whether there is a bank."""
        return bool(self._bank)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses features that only steps return: the bank is encoded beside them."""
        if self.source.features is not None:
            self.source.network(pl_module)

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Encodes the bank, for a test too."""
        super().on_validation_epoch_start(trainer, pl_module)
        if trainer.sanity_checking:
            return
        # a data set that draws from the global generators must not change training
        with isolate_rng(include_cuda=False):
            loader = training_loader(type(self).__name__, trainer, pl_module)
            if self._is_due(trainer, self._size_of(loader)):
                self._build_bank(trainer, pl_module, loader)
                self._seen = 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Counts images."""
        if self._seen is not None:
            self._seen += len(self.source.views(pl_module, batch)[0])

    def scores(self, features: Tensor) -> dict[str, dict[str, Tensor]]:
        """What the neighbors of each label say."""
        queries = F.normalize(features - self._mean, dim=1)
        found: dict[str, Tensor] = {}
        for label, (bank, labels) in self._bank.items():
            cosine, nearest = (queries @ bank.T).topk(min(self.k, len(bank)), dim=1)
            # at most 1, so that no temperature is too low
            weights = ((cosine - cosine[:, :1]) / self.temperature).exp()
            found[label] = self.kinds[label].from_neighbors(weights, labels[nearest])
        return {"": found}

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the metrics and frees the bank."""
        super().on_validation_epoch_end(trainer, pl_module)
        self._bank = {}

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs the metrics and frees the bank."""
        super().on_test_epoch_end(trainer, pl_module)
        self._bank = {}

    def reset(self) -> None:
        """Forgets the best, and when the last bank was."""
        super().reset()
        self._seen = None

    def state_dict(self) -> dict[str, Any]:
        """The best accuracies, and the images since the last bank."""
        return {**super().state_dict(), "seen": self._seen}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores them."""
        super().load_state_dict(state_dict)
        self._seen = state_dict["seen"]

    def _is_due(self, trainer: Trainer, size: int) -> bool:
        if trainer.state.fn != TrainerFn.FITTING:
            return True
        if self.every_n_epochs is not None:
            return (trainer.current_epoch + 1) % self.every_n_epochs == 0
        return (
            self._seen is None
            or self._seen >= SPACING * size
            or trainer.global_step >= trainer.estimated_stepping_batches
        )

    def _size_of(self, loader: Iterable[Any]) -> int:
        """Images in the bank, as far as they are known."""
        dataset = getattr(loader, "dataset", None)
        return min(self.max_samples, len(dataset)) if isinstance(dataset, Sized) else self.max_samples

    def _build_bank(self, trainer: Trainer, pl_module: LightningModule, loader: Iterable[Any]) -> None:
        features: list[Tensor] = []
        found: list[dict[str, Tensor]] = []
        share = -(-self.max_samples // trainer.world_size)
        for batch in drawn(type(self).__name__, loader, self.max_samples, trainer.global_rank, trainer.world_size):
            moved, views = on_device(trainer, pl_module, self.source, batch)
            features.append(self.source.encode(trainer, pl_module, moved, views, shared=False).float())
            # a copy on a CPU too: what a worker has sent holds a file descriptor as long as it lives
            labels = self.labels(pl_module, moved).items()
            found.append({label: each.to(pl_module.device, copy=True) for label, each in labels})
            if sum(map(len, features)) >= share:
                break
        self._labels.agree(trainer)
        joint = _gather(torch.cat(features), trainer)
        self._mean = joint.mean(dim=0)
        joint = F.normalize(joint - self._mean, dim=1)
        for label, kind in self.kinds.items():
            parts = [
                each[label] if each else kind.missing(len(part)).to(part.device)
                for each, part in zip(found, features, strict=True)
            ]
            given = _gather(torch.cat(parts), trainer)
            if (known := kind.labeled(given)).any():
                self._bank[label] = joint[known], given[known]
        self.require_labeled(bool(self._bank), "the training images it compares with", trainer)
        self._warn_of_few()

    def _warn_of_few(self) -> None:
        for label, kind in self.kinds.items():
            if isinstance(kind, ClassLabel) and self.max_samples < FEW * kind.size:
                rank_zero_warn(
                    f"{type(self).__name__}(max_samples={self.max_samples}) compares with fewer than {FEW} images a "
                    f"class: {listed([label])} has {kind.size} classes. Set max_samples to {FEW * kind.size} or more."
                )


def _gather(values: Tensor, trainer: Trainer) -> Tensor:
    """Rows of all ranks; unreadable images may have left them with unequal numbers."""
    return torch.cat(gather_all_tensors(values)) if trainer.world_size > 1 else values
