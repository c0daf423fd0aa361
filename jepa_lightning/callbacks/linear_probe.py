# B batch, D width, C classes
"""A linear classifier trained beside the module, on features it has computed anyway."""

from typing import Any, cast

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from jepa_lightning.callbacks.eval_mode import eval_mode
from jepa_lightning.callbacks.probe import OnlineProbe


class LinearHeads(nn.Module):
    """A linear classifier for each label, on features that a norm without weights brings to mean 0 and variance 1.

    Args:
        width: D.
        classes: C of each label.
        device: where to build it.
    """

    def __init__(self, width: int, classes: list[int], device: torch.device) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(width, eps=1e-6, affine=False, device=device)
        # made on no device and zeroed: the problem is convex, and drawing weights would move training's generator
        self.heads = nn.ModuleList(nn.Linear(width, c, device="meta").to_empty(device=device) for c in classes)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> list[Tensor]:
        """``[B, D]`` to ``[B, C]`` of each label."""
        features = self.norm(features)
        return [head(features) for head in self.heads]


class OnlineLinearProbe(OnlineProbe):
    """Trains a linear classifier for each label on the detached features of the training steps.

    It has its own optimizer and never touches the module: weights are the same with and without it. It accumulates
    gradients as the Trainer does and steps when the Trainer has stepped; each labelled sample counts the same, in
    whatever micro-batch or rank it is. Methods whose step encodes no full view cost one forward pass of the evaluation
    encoder on the first view.

    Args:
        num_classes: as in ``OnlineProbe``.
        lr: of AdamW, constant, because the features keep changing.
        weight_decay: of AdamW.
    """

    name = "linear"

    def __init__(
        self, num_classes: int | dict[str, int] | None = None, lr: float = 5e-3, weight_decay: float = 0.0
    ) -> None:
        super().__init__(num_classes)
        self.lr = lr
        self.weight_decay = weight_decay
        self._heads: LinearHeads | None = None
        self._optimizer: torch.optim.Optimizer
        self._counts: Tensor  # labelled samples of each label since the last step
        self._restored: dict[str, Any] | None = None  # until the first features tell the width
        self._last_step = 0

    @property
    def ready(self) -> bool:
        """Whether there are heads, or some to restore."""
        return self._heads is not None or self._restored is not None

    def scores(self, features: Tensor) -> dict[str, Tensor]:
        """Logits of each label."""
        logits = self._built(features).eval()(features)
        return dict(zip(self._classes, logits, strict=True))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts or resumes."""
        self._last_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the gradient of one batch, and steps if the Trainer has."""
        features = outputs["features"]
        if features is None:
            with torch.no_grad(), eval_mode(pl_module), trainer.precision_plugin.forward_context():
                features = pl_module(batch.views[0])
        heads, labels = self._built(features), self.labels(batch)
        # a single sample has no variance to normalise by
        if labels and len(features) > 1:
            self._accumulate(heads.train(), features.float(), list(labels.values()))
        if trainer.global_step != self._last_step:
            self._last_step = trainer.global_step
            self._step(trainer, heads)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses data without any label, which has left the heads at zero."""
        if self._heads is not None:
            self.require_labelled(any(bool(p.any()) for p in self._heads.parameters()), "training", trainer)

    def state_dict(self) -> dict[str, Any]:
        """Heads, their norm and optimizer, and the best accuracies."""
        probe = self._restored
        if self._heads is not None:
            probe = {
                "classes": dict(self._classes),
                "heads": self._heads.state_dict(),
                "optimizer": self._optimizer.state_dict(),
            }
        return {**super().state_dict(), "probe": probe}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keeps the state until the first features tell the width."""
        super().load_state_dict(state_dict)
        self._heads, self._restored = None, state_dict["probe"]

    def _built(self, features: Tensor) -> LinearHeads:
        """The heads, made or restored when the first features come."""
        if self._heads is None:
            # Trainer.validate may come first, and what is made in its inference mode cannot be trained
            with torch.inference_mode(False):
                self._heads = LinearHeads(features.shape[1], list(self._classes.values()), features.device)
                self._optimizer = torch.optim.AdamW(
                    self._heads.parameters(), lr=self.lr, weight_decay=self.weight_decay
                )
                self._counts = torch.zeros(len(self._classes), device=features.device)
                for parameter in self._heads.parameters():
                    parameter.grad = torch.zeros_like(parameter)
                self._restore(self._heads)
        return self._heads

    def _restore(self, heads: LinearHeads) -> None:
        if self._restored is None:
            return
        width = len(self._restored["heads"]["norm.running_mean"])
        if (self._restored["classes"], width) != (self._classes, heads.norm.num_features):
            raise MisconfigurationException(
                f"the checkpoint's {type(self).__name__} has classes {self._restored['classes']} on {width} features, "
                f"this run has {self._classes} on {heads.norm.num_features}: resume with the same data and encoder."
            )
        heads.load_state_dict(self._restored["heads"])
        self._optimizer.load_state_dict(self._restored["optimizer"])
        self._restored = None

    def _accumulate(self, heads: LinearHeads, features: Tensor, targets: list[Tensor]) -> None:
        losses = [
            F.cross_entropy(logits, target, ignore_index=-1, reduction="sum")
            for logits, target in zip(heads(features), targets, strict=True)
        ]
        torch.autograd.backward(torch.stack(losses).sum())
        self._counts += torch.stack([(target >= 0).sum() for target in targets])

    def _step(self, trainer: Trainer, heads: LinearHeads) -> None:
        if trainer.world_size > 1:
            self._share(trainer, heads)
        for head, count in zip(heads.heads, self._counts.clamp(min=1), strict=True):
            for parameter in head.parameters():
                cast(Tensor, parameter.grad).div_(count)
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=False)
        self._counts.zero_()

    def _share(self, trainer: Trainer, heads: LinearHeads) -> None:
        """Sums gradients and counts over the ranks and averages the norm, so that all ranks keep the same heads."""
        averaged = [cast(Tensor, heads.norm.running_mean), cast(Tensor, heads.norm.running_var)]
        shared = [cast(Tensor, p.grad) for p in heads.parameters()] + [self._counts, *averaged]
        # one message instead of one for each tensor
        vector_to_parameters(trainer.strategy.reduce(parameters_to_vector(shared), reduce_op="sum"), shared)
        for statistic in averaged:
            statistic.div_(trainer.world_size)
