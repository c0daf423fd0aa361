# B batch, D width, C classes
"""A linear classifier trained beside the module, on features it has computed anyway."""

import torch
from torch import Tensor

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.probes.trained import TrainedProbe
from jepa_lightning.options import LearningRate, NonNegativeFloat, PositiveInt, check_options
from jepa_lightning.probing.linear_heads import LinearHeads


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
        features: as in ``OnlineProbe``.
        labels: as in ``OnlineProbe``.
        images: as in ``OnlineProbe``.

    Example:
        Two probes, logged as ``val/linear`` and ``val/slow``; then one of a module that is not of this package:

        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import OnlineLinearProbe
        >>> trainer = Trainer(callbacks=[OnlineLinearProbe(), OnlineLinearProbe(lr=1e-3, name="slow")])
        >>> probe = OnlineLinearProbe(features="backbone", labels=1, num_classes=10)
    """

    name = "linear"

    def __init__(
        self,
        num_classes: PositiveInt | dict[str, PositiveInt] | None = None,
        lr: LearningRate = 5e-3,
        weight_decay: NonNegativeFloat = 0.0,
        every_n_steps: PositiveInt | None = None,
        name: str | None = None,
        features: str | None = None,
        labels: Item = 1,
        images: Item = 0,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(num_classes, name, every_n_steps, features, labels, images)
        self.lr = lr
        self.weight_decay = weight_decay

    def build_heads(self, features: Tensor, classes: list[int]) -> LinearHeads:
        """A linear layer for each label."""
        return LinearHeads(features.shape[1], classes, features.device)

    def build_optimizer(self, heads: LinearHeads) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(heads.parameters(), lr=self.lr, weight_decay=self.weight_decay)
