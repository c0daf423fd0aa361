# S samples, N tokens, D width, B batch, C channels, T frames, H W height and width
"""What training has added: one and the same probe on raw pixels, on the encoder as it starts, and as it ends."""

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities.seed import isolate_rng
from lightning_utilities.core.rank_zero import rank_zero_warn

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.probes.fresh import FreshCallback
from jepa_lightning.callbacks.probes.labels import ProbeLabels, data_name
from jepa_lightning.callbacks.probes.loaders import training_loader, validation_loader
from jepa_lightning.callbacks.probes.named import NamedCallback
from jepa_lightning.callbacks.probes.report_samples import SampleReader
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.options import NonNegativeInt, PositiveInt, check_options
from jepa_lightning.probing.attentive import attentive_probe
from jepa_lightning.probing.linear import linear_probe
from jepa_lightning.probing.scores import metric_name

ATTENTIVE = ", attentive"  # after the name of what is probed


class ProbeReport(NamedCallback, FreshCallback):
    """Fits one and the same linear probe on raw pixels, on the encoder before training, and after it.

    The probe is a least-squares classifier on pooled features, and may be joined by an attentive one on tokens, which
    finds what their mean has lost. Both are fitted on training samples, in the deterministic view where the DataModule
    has a ``memory_dataloader``, and otherwise as the training loader augments them, and scored on validation samples
    of the first loader. Samples that a sampler leaves out and samples without a label are not used. Training is not
    touched: weights are the same with and without this callback.

    What the run starts from is measured once, kept in its checkpoints, and logged at each validation, so that it is a
    flat line beside ``val/linear``: ``val/linear_raw_pixels``, ``val/linear_random_init``, and so on with the names
    that ``OnlineProbe`` has for values, multi-hot labels and several labels. A fit without ``ckpt_path`` starts afresh.

    Args:
        max_samples: training samples to fit on and validation samples to score, drawn once.
        attentive_epochs: passes of the attentive probe over its samples, 0 for none of it.
        attentive_samples: training samples to fit that one on, which learns from more; max_samples if None. Their
            tokens are held in memory, 2 bytes for each number.
        features: dotted name of a submodule, which is called on the images; None is for a ``JEPAModule``.
        labels: index or key of the labels in the batch: a tensor, or a dict of tensors by name.
        images: index or key of the images in the batch: a tensor, or a sequence of views.
        name: of the flat lines, in place of ``linear``, and of the state in checkpoints; two reports need two names.

    Attributes:
        accuracy: top-1 accuracy of each label (a single one is called ``""``), R2 of values as ``LABEL_r2`` and mAP of
            multi-hot labels as ``LABEL_map``, for ``raw pixels``, ``random init`` (the encoder that the run starts
            from) and ``trained``, and for the last two with ``, attentive`` behind them, as far as they are measured;
            nothing without labels.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import ProbeReport
        >>> report = ProbeReport(features="backbone")
        >>> trainer = Trainer(callbacks=[report])
        >>> # after trainer.fit: report.accuracy["random init"] and report.accuracy["trained"]
    """

    name = "linear"

    def __init__(
        self,
        max_samples: PositiveInt = 2000,
        attentive_epochs: NonNegativeInt = 0,
        attentive_samples: PositiveInt | None = None,
        features: str | None = None,
        labels: Item = 1,
        images: Item = 0,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        self.rename(name)
        self.source = Source(type(self).__name__, features, labels, images)
        self.max_samples, self.attentive_epochs = max_samples, attentive_epochs
        self.attentive_samples = max_samples if attentive_samples is None else attentive_samples
        self.accuracy: dict[str, dict[str, float]] = {}
        self._labels: ProbeLabels

    def reset(self) -> None:
        """Forgets what has been measured."""
        self.accuracy = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out what labels there are with the first batch.

        Raises:
            MisconfigurationException: if another report has the same name.
        """
        super().setup(trainer, pl_module, stage)
        self.require_own_name(trainer, ProbeReport)
        self._labels = ProbeLabels(type(self).__name__, data_name(trainer), strict=False)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses features that only steps return: these probes have samples of their own."""
        if self.source.features is not None:
            self.source.network(pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
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
            own = {metric_name(self.name, name): value for name, value in found.items()}
            # the first label of each kind has the name without a label as well
            for name, value in found.items():
                end = name.split("_")[-1]
                own.setdefault(metric_name(self.name, end if end in ("r2", "map") else ""), value)
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
            if lost := not_improved(self.accuracy, before, after):
                whose = f"{self.name}: " if self.is_renamed else ""
                rank_zero_warn(
                    f"{whose}Training ends with {probe} probe no better than on {before.removesuffix(ATTENTIVE)}: "
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
        attends = kind != "raw pixels" and self.attentive_epochs > 0
        to_fit = max(self.max_samples, self.attentive_samples) if attends else self.max_samples
        # a data set that draws from the global generators must not change training
        with isolate_rng(include_cuda=False):
            reader = SampleReader(trainer, pl_module, self.source, self._labels, kind == "raw pixels", attends)
            train = reader.read(training_loader(self.source.owner, trainer, pl_module), to_fit)
            val = reader.read(validation_loader(self.source.owner, trainer), self.max_samples)
            if train is None or val is None:
                return {}
            if not (train.features.isfinite().all() and val.features.isfinite().all()):
                rank_zero_warn(
                    f"{type(self).__name__} leaves out the probe of {kind}, since its features are not finite: lower "
                    "the learning rate, or look at the data."
                )
                return {}
            fitted = train.first(self.max_samples)
            found = {kind: linear_probe(fitted.features, fitted.labels, val.features, val.labels)}
            if train.tokens is not None and val.tokens is not None:
                tokens = train.tokens[: self.attentive_samples]
                labels = train.first(self.attentive_samples).labels
                found[f"{kind}{ATTENTIVE}"] = attentive_probe(
                    tokens, labels, val.tokens, val.labels, self.attentive_epochs, device=pl_module.device
                )
        return found


def not_improved(accuracy: dict[str, dict[str, float]], before: str, after: str = "trained") -> list[str]:
    """Labels on which the trained encoder is no better than what was there before, with both figures."""
    trained = accuracy.get(after, {})
    return [
        f"{name or 'class'} {100 * trained[name]:.1f} % (was {100 * found:.1f} %)"
        for name, found in accuracy.get(before, {}).items()
        if name in trained and trained[name] <= found
    ]
