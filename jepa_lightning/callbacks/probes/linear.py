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
        num_classes: number of classes, or of each label by name, which also chooses the labels (for values and
            multi-hot labels the number is K); None takes the DataModule's for class indices, and all other labels.
        lr: of AdamW, constant, because the features keep changing.
        weight_decay: of AdamW.
        every_n_steps: train on the batches of every n-th optimizer step. None is 1 where the step returns the features
            anyway, and 8 where they cost a forward pass of the encoder on the full view (MAE's step returns none).
        name: of the metrics and of the state in checkpoints; two probes of a type need two names.
        features: dotted name of a submodule of any LightningModule, or key of the dict that its step returns; None
            takes the features of a ``JEPAModule``, or what the step returns as ``features``.
        labels: index or key of the labels in the batch: a tensor, or a dict of tensors by name.
        images: index or key of the images in the batch: a tensor, or a sequence of views.

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
