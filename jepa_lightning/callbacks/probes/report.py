# S samples, N tokens, D width, B batch, C channels, T frames, H W height and width
"""What training has added: one and the same probe on raw pixels, on the encoder as it starts, and as it ends."""

from typing import Any, NamedTuple

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng
from lightning_utilities.core.rank_zero import rank_zero_warn
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset

from jepa_lightning.callbacks.probes.base import data_name
from jepa_lightning.callbacks.probes.fresh import FreshCallback
from jepa_lightning.callbacks.probes.labels import ProbeLabels
from jepa_lightning.features import encode, eval_mode
from jepa_lightning.options import NonNegativeInt, PositiveInt, check_options
from jepa_lightning.probing.attentive import attentive_probe
from jepa_lightning.probing.linear import linear_probe
from jepa_lightning.probing.scores import metric_name
from jepa_lightning.types import Batch

MAX_PIXEL_VALUES = 3 * 48 * 48  # larger views are averaged down to as many
ATTENTIVE = ", attentive"  # after the name of what is probed


class _Samples(NamedTuple):
    """Pooled features ``[S, D]``, tokens ``[S, N, D]`` if asked for, and labels ``[S]`` or ``[S, K]`` by name."""

    features: Tensor
    tokens: Tensor | None
    labels: dict[str, Tensor]


class ProbeReport(FreshCallback):
    """Fits one and the same linear probe on raw pixels, on the encoder before training, and after it.

    The probe is a least-squares classifier on pooled features, and may be joined by an attentive one on tokens, which
    finds what their mean has lost. Both are fitted on training samples in the deterministic view, and scored on
    validation samples. Samples that lack a label are left out. Training is not touched: weights are the same with and
    without this callback.

    What the run starts from is measured once, kept in its checkpoints, and logged at each validation, so that it is a
    flat line beside ``val/linear``: ``val/linear_raw_pixels``, ``val/linear_random_init``, and so on with the names
    that ``OnlineProbe`` has for values, multi-hot labels and several labels. A fit without ``ckpt_path`` starts afresh.

    Args:
        max_samples: training samples to fit on and validation samples to score, drawn once.
        attentive_epochs: passes of the attentive probe over its samples, 0 for none of it.
        attentive_samples: training samples to fit that one on, which learns from more; max_samples if None. Their
            tokens are held in memory, 2 bytes for each number.

    Attributes:
        accuracy: top-1 accuracy of each label (a single one is called ``""``), R2 of values as ``LABEL_r2`` and mAP of
            multi-hot labels as ``LABEL_map``, for ``raw pixels``, ``random init`` (the encoder that the run starts
            from) and ``trained``, and for the last two with ``, attentive`` behind them, as far as they are measured;
            nothing without labels.
    """

    def __init__(
        self,
        max_samples: PositiveInt = 2000,
        attentive_epochs: NonNegativeInt = 0,
        attentive_samples: PositiveInt | None = None,
    ) -> None:
        check_options(type(self), locals())
        self.max_samples, self.attentive_epochs = max_samples, attentive_epochs
        self.attentive_samples = max_samples if attentive_samples is None else attentive_samples
        self.accuracy: dict[str, dict[str, float]] = {}
        self._labels: ProbeLabels

    def reset(self) -> None:
        """Forgets what has been measured."""
        self.accuracy = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Checks that there is something to fit on.

        Raises:
            MisconfigurationException: if the data has no ``memory_dataloader``.
        """
        super().setup(trainer, pl_module, stage)
        self._labels = ProbeLabels(type(self).__name__, data_name(trainer), strict=False)
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

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Logs what the run has started from."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        for kind in ("raw pixels", "random init"):
            found = self.accuracy.get(kind, {})
            own = {metric_name("linear", name): value for name, value in found.items()}
            # the first label of each kind has the name without a label as well
            for name, value in found.items():
                end = name.split("_")[-1]
                own.setdefault(metric_name("linear", end if end in ("r2", "map") else ""), value)
            for name, value in own.items():
                pl_module.log(f"val/{name}_{kind.replace(' ', '_')}", value, sync_dist=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Measures what it ends with, and warns of labels that it reads no better than what was there before."""
        self.accuracy |= self._measure(trainer, pl_module, "trained")
        for probe, before, after in (
            ("a linear", "random init", "trained"),
            ("a linear", "raw pixels", "trained"),
            ("an attentive", f"random init{ATTENTIVE}", f"trained{ATTENTIVE}"),
        ):
            if lost := losses(self.accuracy, before, after):
                rank_zero_warn(
                    f"Training ends with {probe} probe no better than on {before.removesuffix(ATTENTIVE)}: "
                    f"{', '.join(lost)}."
                )

    def state_dict(self) -> dict[str, Any]:
        """What has been measured."""
        return {"accuracy": {kind: dict(found) for kind, found in self.accuracy.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores it."""
        super().load_state_dict(state_dict)
        self.accuracy = {kind: dict(found) for kind, found in state_dict["accuracy"].items()}

    def _measure(self, trainer: Trainer, pl_module: LightningModule, kind: str) -> dict[str, dict[str, float]]:
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        # a data set that draws from the global generators must not change training
        with isolate_rng(include_cuda=False):
            with torch.no_grad(), eval_mode(pl_module):
                attends = kind != "raw pixels" and self.attentive_epochs > 0
                to_fit = max(self.max_samples, self.attentive_samples) if attends else self.max_samples
                train = self._samples(trainer, pl_module, kind, data.memory_dataloader(), to_fit)
                val = self._samples(trainer, pl_module, kind, data.val_dataloader(), self.max_samples)
            if train is None or val is None:
                return {}
            features, labels = _first(self.max_samples, train.features, train.labels)
            found = {kind: linear_probe(features, labels, val.features, val.labels)}
            if train.tokens is not None and val.tokens is not None:
                tokens, labels = _first(self.attentive_samples, train.tokens, train.labels)
                found[f"{kind}{ATTENTIVE}"] = attentive_probe(
                    tokens, labels, val.tokens, val.labels, self.attentive_epochs, device=pl_module.device
                )
        return found

    def _samples(
        self, trainer: Trainer, pl_module: LightningModule, kind: str, loader: DataLoader[Any], size: int
    ) -> _Samples | None:
        """The samples that have all labels; None where none has."""
        parts: list[_Samples] = []
        for batch in _part(loader, size):
            labels = self._labels.read(_named(batch))
            if not labels:
                continue
            each = [kind.labeled(labels[name]) for name, kind in self._labels.kinds.items()]
            known = torch.stack(each).all(dim=0)
            features, tokens = self._encode(trainer, pl_module, kind, batch)
            known_labels = {name: column[known] for name, column in labels.items()}
            parts.append(_Samples(features[known], None if tokens is None else tokens[known], known_labels))
        if not any(len(part.features) for part in parts):
            return None
        with_tokens = [part.tokens for part in parts if part.tokens is not None]
        return _Samples(
            torch.cat([part.features for part in parts]),
            torch.cat(with_tokens) if with_tokens else None,
            {name: torch.cat([part.labels[name] for part in parts]) for name in parts[0].labels},
        )

    def _encode(
        self, trainer: Trainer, pl_module: LightningModule, kind: str, batch: Batch
    ) -> tuple[Tensor, Tensor | None]:
        """Features ``[S, D]``, and tokens ``[S, N, D]`` if there is to be an attentive probe."""
        if kind == "raw pixels":
            return _pixels(batch.views[0]), None
        views = [trainer.precision_plugin.convert_input(view.to(pl_module.device)) for view in batch.views]
        with trainer.precision_plugin.forward_context():
            if not self.attentive_epochs:
                return encode(pl_module, views).float().cpu(), None
            tokens = encode(pl_module, views, pool=False)
        return tokens.float().mean(dim=1).cpu(), tokens.bfloat16().cpu()


def _part(loader: DataLoader[Any], size: int) -> DataLoader[Batch]:
    # at random: data sets are often sorted by class
    order = torch.randperm(len(loader.dataset), generator=torch.Generator().manual_seed(0))[:size]  # type: ignore[arg-type]
    return DataLoader(
        Subset(loader.dataset, order.tolist()),
        batch_size=loader.batch_size,
        collate_fn=loader.collate_fn,
        num_workers=loader.num_workers,
    )


def _first(size: int, features: Tensor, labels: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    return features[:size], {name: column[:size] for name, column in labels.items()}


def losses(accuracy: dict[str, dict[str, float]], before: str, after: str = "trained") -> list[str]:
    """Labels on which the trained encoder is no better than what was there before, with both figures."""
    trained = accuracy.get(after, {})
    return [
        f"{name or 'class'} {100 * trained[name]:.1f} % (was {100 * found:.1f} %)"
        for name, found in accuracy.get(before, {}).items()
        if name in trained and trained[name] <= found
    ]


def _pixels(view: Tensor) -> Tensor:
    """Views ``[B, C, (T,) H, W]`` as rows of pixels, averaged down where they are large."""
    frames = view.flatten(1, -3)
    side = int((MAX_PIXEL_VALUES / frames.shape[1]) ** 0.5)
    height, width = frames.shape[2:]
    return F.adaptive_avg_pool2d(frames, (min(side, height), min(side, width))).flatten(1)


def _named(batch: Batch) -> Batch:
    """A single label has no name."""
    single = isinstance(batch.labels, dict) and len(batch.labels) == 1
    return batch._replace(labels=next(iter(batch.labels.values()))) if single else batch  # type: ignore[union-attr]
