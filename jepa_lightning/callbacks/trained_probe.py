# B batch, N tokens, D width, C classes
"""Classifiers trained beside the module, on features it has computed anyway."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from jepa_lightning.callbacks.probe import OnlineProbe
from jepa_lightning.options import PositiveInt


class ProbeHeads(nn.Module):
    """What such a probe trains: for each variant of it, a classifier for each label.

    Attributes:
        width: D of the features it takes.
        options: what must be the same in a resumed run.
        least: samples of a batch that it can train on.
    """

    width: int
    options: Mapping[str, int] = MappingProxyType({})
    least: int = 1

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """Logits ``[B, C]``, by variant and then by label."""
        raise NotImplementedError

    def average_gradients(self, counts: Tensor) -> None:
        """Turns gradients of sums into those of means, for ``counts`` labelled samples of each label."""
        raise NotImplementedError

    def statistics(self) -> Sequence[Tensor]:
        """Running statistics that ranks must share; none unless there is a norm that has some."""
        return ()


class TrainedProbe(OnlineProbe):
    """Base of the probes that train classifiers on the detached features of the training steps.

    It has its own optimizer and never touches the module: weights are the same with and without it. It accumulates
    gradients as the Trainer does and steps when the Trainer has stepped; each labelled sample counts the same, in
    whatever micro-batch or rank it is.

    Args:
        num_classes: as in ``OnlineProbe``.
    """

    def __init__(self, num_classes: PositiveInt | dict[str, PositiveInt] | None = None) -> None:
        super().__init__(num_classes)
        self._heads: ProbeHeads | None = None
        self._optimizer: torch.optim.Optimizer
        self._counts: Tensor  # labelled samples of each label since the last step
        self._seen: Tensor  # whether there ever was one
        self._restored: dict[str, Any] | None = None  # until the first features tell the width
        self._last_step = 0

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
        """Logits of each label, by variant."""
        logits = self._built(features).eval()(features)
        return {
            variant: dict(zip(self._classes, found, strict=True))
            for variant, found in zip(self.variants, logits, strict=True)
        }

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts or resumes."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the gradient of one batch, and steps if the Trainer has."""
        features = self.inputs(trainer, pl_module, outputs, batch)
        heads, labels = self._built(features), self.labels(batch)
        if labels and len(features) >= heads.least:
            self._accumulate(heads.train(), features.float(), list(labels.values()))
        if trainer.global_step != self._last_step:
            self._last_step = trainer.global_step
            self._step(trainer, heads)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses data without any label, which has left the optimizer without a step."""
        if self._heads is not None:
            self.require_labelled(bool(self._seen), "training", trainer)

    def state_dict(self) -> dict[str, Any]:
        """Heads, their statistics and optimizer, and the best accuracies."""
        probe = self._restored
        if self._heads is not None:
            probe = {
                "classes": dict(self._classes),
                "width": self._heads.width,
                "options": dict(self._heads.options),
                "seen": bool(self._seen),
                "heads": self._heads.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            }
        return {**super().state_dict(), "probe": probe}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the state until the first features tell the width."""
        super().load_state_dict(state_dict)
        self._heads, self._restored = None, state_dict["probe"]

    def _built(self, features: Tensor) -> ProbeHeads:
        """The heads, made or restored when the first features come."""
        if self._heads is None:
            # Trainer.validate may come first, and what is made in its inference mode cannot be trained
            with torch.inference_mode(False):
                self._heads = self.build_heads(features, list(self._classes.values()))
                self._optimizer = self.build_optimizer(self._heads)
                self._counts = torch.zeros(len(self._classes), device=features.device)
                self._seen = torch.zeros((), dtype=torch.bool, device=features.device)
                for parameter in self._heads.parameters():
                    parameter.grad = torch.zeros_like(parameter)
                self._restore(self._heads)
        return self._heads

    def _restore(self, heads: ProbeHeads) -> None:
        if self._restored is None:
            return
        saved = self._restored
        before = (saved["classes"], saved["width"], saved["options"])
        now = (self._classes, heads.width, dict(heads.options))
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
        self._restored = None

    def _accumulate(self, heads: ProbeHeads, features: Tensor, targets: list[Tensor]) -> None:
        losses = [
            F.cross_entropy(logits, target, ignore_index=-1, reduction="sum")
            for variant in heads(features)
            for logits, target in zip(variant, targets, strict=True)
        ]
        torch.autograd.backward(torch.stack(losses).sum())
        self._counts += torch.stack([(target >= 0).sum() for target in targets])

    def _step(self, trainer: Trainer, heads: ProbeHeads) -> None:
        if trainer.world_size > 1:
            self._share(trainer, heads)
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
