# N M samples, D features, B batch, C channels, T frames, H W height and width
"""What training has added: one linear probe on raw pixels, on the encoder as it starts, and as it ends."""

from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.seed import isolate_rng
from lightning_utilities.core.rank_zero import rank_zero_warn
from numpy.typing import NDArray
from sklearn.linear_model import RidgeCV
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from jepa_lightning.callbacks.probe import data_name
from jepa_lightning.eval_mode import eval_mode
from jepa_lightning.types import Batch

ALPHAS = np.logspace(-2, 6, 17)
MAX_PIXEL_VALUES = 3 * 48 * 48  # larger views are averaged down to as many

Labels = dict[str, NDArray[np.int64]]


class ProbeReport(Callback):
    """Fits one and the same linear probe on raw pixels, on the encoder before training, and after it.

    The probe is a least-squares classifier on standardised features, with the regularisation that has the least
    leave-one-out error, so that no kind of features is favoured. It is fitted on training images in the deterministic
    view, and scored on validation images. Samples that lack a label are left out. Training is not touched: weights are
    the same with and without this callback.

    What the run starts from is measured once and kept in its checkpoints.

    Args:
        max_samples: training images to fit on and validation images to score, drawn once.

    Attributes:
        accuracy: top-1 accuracy of each label (a single one is called ``""``), for ``raw pixels``, ``random init`` (the
            encoder that the run starts from) and ``trained``, as far as they are measured; nothing without labels.
    """

    def __init__(self, max_samples: int = 2000) -> None:
        self.max_samples = max_samples
        self.accuracy: dict[str, dict[str, float]] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Checks that there is something to fit on.

        Raises:
            MisconfigurationException: if the data has no ``memory_dataloader``.
        """
        if stage == "fit" and not hasattr(trainer.datamodule, "memory_dataloader"):  # type: ignore[attr-defined]
            raise MisconfigurationException(
                f"{type(self).__name__} fits its probe on training images in the deterministic view, and "
                f"{data_name(trainer)} has no memory_dataloader() to give them: add one, or leave the callback out."
            )

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures what the run starts from."""
        if self.accuracy:
            return
        self.accuracy |= self._measure(trainer, pl_module, "raw pixels")
        # a resumed run starts from trained weights
        if trainer.ckpt_path is None:
            self.accuracy |= self._measure(trainer, pl_module, "random init")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures what it ends with, and warns of labels that it reads no better than what was there before."""
        self.accuracy |= self._measure(trainer, pl_module, "trained")
        for before in ("random init", "raw pixels"):
            if lost := losses(self.accuracy, before):
                rank_zero_warn(f"Training ends with a probe no better than on {before}: {', '.join(lost)}.")

    def state_dict(self) -> dict[str, Any]:
        """What has been measured."""
        return {"accuracy": {kind: dict(found) for kind, found in self.accuracy.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores it."""
        self.accuracy = {kind: dict(found) for kind, found in state_dict["accuracy"].items()}

    def _measure(self, trainer: Trainer, pl_module: LightningModule, kind: str) -> dict[str, dict[str, float]]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        # a data set that draws from the global generators must not change training
        with isolate_rng(include_cuda=False), torch.no_grad(), eval_mode(pl_module):
            sets = [
                self._features(trainer, pl_module, kind, loader())
                for loader in (data.memory_dataloader, data.val_dataloader)
            ]
        (features, labels), (val_features, val_labels) = sets
        if not labels or not val_labels:
            return {}
        return {kind: linear_probe(features, labels, val_features, val_labels)}

    def _features(
        self, trainer: Trainer, pl_module: LightningModule, kind: str, loader: DataLoader[Any]
    ) -> tuple[NDArray[np.float32], Labels]:
        """Features ``[N, D]`` and labels of the samples that have all of them; no labels where none has."""
        features: list[Tensor] = []
        labels: list[dict[str, Tensor]] = []
        for batch in self._part(loader):
            if batch.labels is None:
                continue
            view = batch.views[0]
            if kind == "raw pixels":
                features.append(_pixels(view))
            else:
                view = trainer.precision_plugin.convert_input(view.to(pl_module.device))
                with trainer.precision_plugin.forward_context():
                    features.append(pl_module(view).float().cpu())
            labels.append(_named(batch))
        if not features:
            return np.empty((0, 0), np.float32), {}
        joint = {name: torch.cat([named[name] for named in labels]) for name in labels[0]}
        known = torch.stack(list(joint.values())).amin(dim=0) >= 0
        if not known.any():
            return np.empty((0, 0), np.float32), {}
        return torch.cat(features)[known].numpy(), {name: column[known].numpy() for name, column in joint.items()}

    def _part(self, loader: DataLoader[Any]) -> DataLoader[Batch]:
        # at random: data sets are often sorted by class
        size = len(loader.dataset)  # type: ignore[arg-type]
        order = torch.randperm(size, generator=torch.Generator().manual_seed(0))[: self.max_samples]
        return DataLoader(
            Subset(loader.dataset, order.tolist()),
            batch_size=loader.batch_size,
            collate_fn=loader.collate_fn,
            num_workers=loader.num_workers,
        )


def losses(accuracy: dict[str, dict[str, float]], before: str) -> list[str]:
    """Labels on which the trained encoder is no better than what was there before, with both figures."""
    trained = accuracy.get("trained", {})
    return [
        f"{name or 'class'} {100 * trained[name]:.1f} % (was {100 * found:.1f} %)"
        for name, found in accuracy.get(before, {}).items()
        if name in trained and trained[name] <= found
    ]


def linear_probe(
    features: NDArray[np.float32], labels: Labels, val_features: NDArray[np.float32], val_labels: Labels
) -> dict[str, float]:
    """Accuracy of a least-squares classifier for each label, all fitted in one closed form.

    Args:
        features: ``[N, D]`` to fit on.
        labels: ``[N]`` each.
        val_features: ``[M, D]`` to score.
        val_labels: ``[M]`` each.
    """
    scaler = StandardScaler().fit(features)
    classes = {name: np.unique(column) for name, column in labels.items()}
    one_hot = np.hstack([labels[name][:, None] == classes[name] for name in classes]).astype(np.float32)
    probe = RidgeCV(ALPHAS).fit(scaler.transform(features), one_hot)
    scores = probe.predict(scaler.transform(val_features)).reshape(len(val_features), -1)
    ends = np.cumsum([len(values) for values in classes.values()])
    return {
        name: float((values[part.argmax(axis=1)] == val_labels[name]).mean())
        for (name, values), part in zip(classes.items(), np.split(scores, ends[:-1], axis=1), strict=True)
    }


def _pixels(view: Tensor) -> Tensor:
    """Views ``[B, C, (T,) H, W]`` as rows of pixels, averaged down where they are large."""
    frames = view.flatten(1, -3)
    side = int((MAX_PIXEL_VALUES / frames.shape[1]) ** 0.5)
    height, width = frames.shape[2:]
    return F.adaptive_avg_pool2d(frames, (min(side, height), min(side, width))).flatten(1)


def _named(batch: Batch) -> dict[str, Tensor]:
    """Labels by name; a single one has none."""
    if isinstance(batch.labels, dict) and len(batch.labels) > 1:
        return batch.labels
    return {"": next(iter(batch.labels.values())) if isinstance(batch.labels, dict) else batch.labels}  # type: ignore[dict-item]
