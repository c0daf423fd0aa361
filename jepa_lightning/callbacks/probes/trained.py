# B batch, N tokens, D width, C classes
"""Classifiers trained beside the module, on features it has computed anyway."""

from abc import abstractmethod
from contextlib import nullcontext
from typing import Any, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.sources import is_skipped
from jepa_lightning.options import PositiveInt
from jepa_lightning.probing.heads import ProbeHeads
from jepa_lightning.probing.label_kinds import ValueLabel
from jepa_lightning.probing.target_scale import TargetScale

RENAMED = {"colour": "color"}  # labels of the procedural data that checkpoints may hold under a former name
EVERY = 8  # optimizer steps between those whose features are encoded for a probe alone: it then adds a fifth to MAE's


class TrainedProbe(OnlineProbe):
    """Base of the probes that train classifiers on the detached features of the training steps.

    It has its own optimizer and never touches the module: weights are the same with and without it. It accumulates
    gradients as the Trainer does and steps when the Trainer has stepped; each labeled sample counts the same, in
    whatever micro-batch or rank it is. Classes are fitted by cross-entropy, multi-hot labels by binary cross-entropy,
    and values by squared error after they are standardized by the mean and variance of the training targets so far.

    Args:
        num_classes: as in ``OnlineProbe``.
        name: as in ``OnlineProbe``.
        every_n_steps: train on the batches of every n-th optimizer step. None is 1 where the step returns the features
            anyway, and 8 where they cost a forward pass of the encoder on the full view (MAE's step returns none).
        features: as in ``OnlineProbe``.
        labels: as in ``OnlineProbe``.
        images: as in ``OnlineProbe``.
    """

    def __init__(
        self,
        num_classes: PositiveInt | dict[str, PositiveInt] | None = None,
        name: str | None = None,
        every_n_steps: PositiveInt | None = None,
        features: str | None = None,
        labels: Item = 1,
        images: Item = 0,
    ) -> None:
        super().__init__(num_classes, name, features, labels, images)
        self.every_n_steps = every_n_steps
        self._optimizer: torch.optim.Optimizer
        self._counts: Tensor  # labeled samples of each label since the last step
        self._seen: Tensor  # whether there ever was one
        self._last_step, self._previous_step = 0, -1  # optimizer steps before this batch, and before the last step
        self._stepped = False  # whether the Trainer has, in this run
        self._took_batch = False  # whether a batch was there to train on
        self._owing = False  # whether the last batch to train on was skipped
        self._forget()

    def _forget(self) -> None:
        self._heads: ProbeHeads | None = None
        self._scales: dict[str, TargetScale] = {}
        self._restored: dict[str, Any] | None = None  # until the first features tell the width

    def reset(self) -> None:
        """Forgets heads, optimizer and best."""
        super().reset()
        self._forget()

    @abstractmethod
    def build_heads(self, features: Tensor, classes: list[int]) -> ProbeHeads:
        """Untrained heads for features of this width, on their device; training's generator must not move."""

    @abstractmethod
    def build_optimizer(self, heads: Any) -> torch.optim.Optimizer:
        """What trains them."""

    @property
    def ready(self) -> bool:
        """Whether there are heads, or some to restore."""
        return self._heads is not None or self._restored is not None

    def scores(self, features: Tensor) -> dict[str, dict[str, Tensor]]:
        """Outputs for each label, by variant."""
        with torch.no_grad():
            outputs = self._forward(self._built(features).eval(), features)
        return {
            variant: {
                label: self._scales[label].restore(each) if label in self._scales else each
                for label, each in zip(self.kinds, found, strict=True)
            }
            for variant, found in zip(self.variants, outputs, strict=True)
        }

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Takes the Trainer's precision."""
        super().setup(trainer, pl_module, stage)
        self._precision = trainer.precision_plugin

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts or resumes."""
        self._last_step, self._previous_step = trainer.global_step, trainer.global_step - 1
        self._stepped = self._took_batch = self._owing = False

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the gradient of one batch, and steps if the Trainer has."""
        stepped, step, previous = trainer.global_step != self._last_step, self._last_step, self._previous_step
        if stepped:
            self._previous_step, self._last_step = step, trainer.global_step
        self._stepped |= stepped
        skipped = is_skipped(pl_module, outputs)
        labels = {} if skipped else self.labels(pl_module, batch)
        every = self.every_n_steps or (1 if self.given(pl_module, outputs) is not None else EVERY)
        # a batch may take several steps in manual optimization, and one that is skipped is made up for by the next
        if step // every == previous // every and not self._owing:
            return
        self._owing = skipped
        if not skipped:
            self._took_batch = True
            features = self.inputs(trainer, pl_module, outputs, batch).float()
            if labels and len(features) >= self._built(features).least:
                self._accumulate(self._built(features).train(), features, labels)
            if stepped:
                self._labels.agree(trainer)
                if self.kinds:
                    self._built(features)
        if stepped and self._heads is not None:
            self._step(trainer, self._heads)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses labels that are out of range, and epochs that left the optimizer without a step.

        Raises:
            MisconfigurationException: if no sample was labeled, or manual optimization takes steps that the Trainer
                does not count.
        """
        self._labels.check(trainer, pl_module.device)
        if not self._stepped and not pl_module.automatic_optimization:
            raise MisconfigurationException(
                f"{type(self).__name__} steps when the Trainer does, and it counted no optimizer step in this epoch: "
                f"step the optimizers of self.optimizers() in {type(pl_module).__name__}.training_step."
            )
        seen = self._restored["seen"] if self._restored else self._heads is not None and bool(self._seen)
        if self._took_batch:
            self.require_labeled(seen, "training", trainer)

    def state_dict(self) -> dict[str, Any]:
        """Heads, their statistics and optimizer, and the best values."""
        probe = self._restored
        if self._heads is not None:
            probe = {
                "classes": self._described(),
                "width": self._heads.width,
                "options": dict(self._heads.options),
                "seen": bool(self._seen),
                "heads": self._heads.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "targets": {label: scale.sums for label, scale in self._scales.items()},
            }
        return {**super().state_dict(), "probe": probe}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the state until the first features tell the width."""
        super().load_state_dict(state_dict)
        self._forget()
        self._restored = state_dict["probe"]

    def _described(self) -> dict[str, int | str]:
        return {label: kind.described() for label, kind in self.kinds.items()}

    def _built(self, features: Tensor) -> ProbeHeads:
        """The heads, made or restored when the first features come."""
        if self._heads is None:
            # Trainer.validate may come first, and what is made in its inference mode cannot be trained
            with torch.inference_mode(False):
                heads = self.build_heads(features, [kind.size for kind in self.kinds.values()])
                self._optimizer = self.build_optimizer(heads)
                self._counts = torch.zeros(len(self.kinds), device=features.device)
                self._seen = torch.zeros((), dtype=torch.bool, device=features.device)
                self._scales = {
                    label: TargetScale(kind.size, features.device)
                    for label, kind in self.kinds.items()
                    if isinstance(kind, ValueLabel)
                }
                for parameter in heads.parameters():
                    parameter.grad = torch.zeros_like(parameter)
                self._restore(heads)
            self._heads = heads
        return self._heads

    def _restore(self, heads: ProbeHeads) -> None:
        if self._restored is None:
            return
        saved = self._restored
        known = self._described()
        classes = {label if label in known else RENAMED.get(label, label): n for label, n in saved["classes"].items()}
        before = (classes, saved["width"], saved["options"])
        now = (known, heads.width, dict(heads.options))
        if before != now:
            then, here = (
                f"classes {classes} on {width} features{f' and {options}' if options else ''}"
                for classes, width, options in (before, now)
            )
            raise MisconfigurationException(
                f"the checkpoint's {type(self).__name__} has {then}, this run has {here}: resume with the same data, "
                "encoder and probe."
            )
        heads.load_state_dict(saved["heads"])
        asked = [{name: group[name] for name in ("lr", "weight_decay")} for group in self._optimizer.param_groups]
        self._optimizer.load_state_dict(saved["optimizer"])
        for group, options in zip(self._optimizer.param_groups, asked, strict=True):
            group.update(options)  # those of this run
        self._seen.fill_(saved["seen"])
        for label, sums in saved.get("targets", {}).items():
            self._scales[label].sums.copy_(sums)
        self._restored = None

    def _forward(self, heads: ProbeHeads, features: Tensor) -> list[list[Tensor]]:
        with self._precision.forward_context() if heads.autocast else nullcontext():
            outputs = heads(features)
        return [[each.float() for each in variant] for variant in outputs]

    def _accumulate(self, heads: ProbeHeads, features: Tensor, labels: dict[str, Tensor]) -> None:
        known = {label: kind.labeled(labels[label]) for label, kind in self.kinds.items()}
        for label, scale in self._scales.items():
            scale.add(labels[label], known[label])
        targets = {
            label: self._scales[label].standardize(target) if label in self._scales else target
            for label, target in labels.items()
        }
        losses = [
            kind.loss(outputs, targets[label])
            for variant in self._forward(heads, features)
            for outputs, (label, kind) in zip(variant, self.kinds.items(), strict=True)
        ]
        torch.autograd.backward(torch.stack(losses).sum())
        self._counts += torch.stack([each.sum() for each in known.values()])

    def _step(self, trainer: Trainer, heads: ProbeHeads) -> None:
        if trainer.world_size > 1:
            self._share(trainer, heads)
        for scale in self._scales.values():
            scale.settle(trainer)
        self._seen |= self._counts.any()
        heads.average_gradients(self._counts)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self._counts.zero_()

    def _share(self, trainer: Trainer, heads: ProbeHeads) -> None:
        """Sums gradients and counts over the ranks and averages statistics, so that all ranks keep the same heads."""
        averaged = list(heads.statistics())
        shared = [cast(Tensor, p.grad) for p in heads.parameters()] + [self._counts, *averaged]
        # one message instead of one for each tensor
        vector_to_parameters(trainer.strategy.reduce(parameters_to_vector(shared), reduce_op="sum"), shared)
        for statistic in averaged:
            statistic.div_(trainer.world_size)
