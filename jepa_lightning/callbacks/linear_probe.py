# B batch, D width, C classes
"""A linear classifier trained beside the module, on features it has computed anyway."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from jepa_lightning.callbacks.trained_probe import ProbeHeads, TrainedProbe
from jepa_lightning.options import NonNegativeFloat, PositiveFloat, PositiveInt, check_options


class LinearHeads(ProbeHeads):
    """A linear classifier for each label, on features that a norm without weights brings to mean 0 and variance 1.

    Args:
        width: D.
        classes: C of each label.
        device: where to build it.
    """

    least = 2  # a single sample has no variance to normalise by

    def __init__(self, width: int, classes: list[int], device: torch.device) -> None:
        super().__init__()
        self.width = width
        self.norm = nn.BatchNorm1d(width, eps=1e-6, affine=False, device=device)
        # made on no device and zeroed: the problem is convex, and drawing weights would move training's generator
        self.heads = nn.ModuleList(nn.Linear(width, c, device="meta").to_empty(device=device) for c in classes)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """``[B, D]`` to ``[B, C]`` of each label."""
        features = self.norm(features)
        return [[head(features) for head in self.heads]]

    def average_gradients(self, counts: Tensor) -> None:
        """Divides each head's gradient by its label's count."""
        for head, count in zip(self.heads, counts.clamp(min=1), strict=True):
            for parameter in head.parameters():
                cast(Tensor, parameter.grad).div_(count)

    def statistics(self) -> Sequence[Tensor]:
        """Those of the norm."""
        return cast(Tensor, self.norm.running_mean), cast(Tensor, self.norm.running_var)


class OnlineLinearProbe(TrainedProbe):
    """Trains a linear classifier for each label on the detached features of the training steps.

    How it does, and that it never touches the module, is ``TrainedProbe``'s. Which labels there may be, and what is
    logged as ``val/linear``, is ``OnlineProbe``'s.

    Args:
        num_classes: as in ``OnlineProbe``.
        lr: of AdamW, constant, because the features keep changing.
        weight_decay: of AdamW.
        every_n_steps: as in ``TrainedProbe``.
        name: as in ``OnlineProbe``.

    Example:
        >>> trainer = Trainer(callbacks=[OnlineLinearProbe(), OnlineLinearProbe(lr=1e-3, name="slow")])
        >>> # logs val/linear and val/slow
    """

    name = "linear"

    def __init__(
        self,
        num_classes: PositiveInt | dict[str, PositiveInt] | None = None,
        lr: PositiveFloat = 5e-3,
        weight_decay: NonNegativeFloat = 0.0,
        every_n_steps: PositiveInt | None = None,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(num_classes, name, every_n_steps)
        self.lr = lr
        self.weight_decay = weight_decay

    def build_heads(self, features: Tensor, classes: list[int]) -> LinearHeads:
        """A linear layer for each label."""
        return LinearHeads(features.shape[1], classes, features.device)

    def build_optimizer(self, heads: LinearHeads) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(heads.parameters(), lr=self.lr, weight_decay=self.weight_decay)
