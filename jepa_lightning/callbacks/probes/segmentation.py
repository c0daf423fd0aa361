# B batch, N tokens, D width, T frames, H W height and width, C classes
"""A linear classifier of places, trained beside a module on its tokens."""

from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from jepa_lightning.callbacks.probes.trained import TrainedProbe
from jepa_lightning.options import LearningRate, NonNegativeFloat, PositiveInt, check_options
from jepa_lightning.probing.mask_label import MaskLabel, TokenHeads
from jepa_lightning.types import Batch


class OnlineSegmentationProbe(TrainedProbe):
    """Trains a linear classifier from each token to the class that most of its pixels have in a mask.

    It logs ``val/NAME_miou``, the mean intersection over union of the classes over tokens. How it trains, and that it
    never touches the module, is ``TrainedProbe``'s. Masks are those of the view that the tokens are of, in the extras
    of a batch, as ``ShapesDataModule(dense=True)`` gives them, and ``PhysicsVideoDataModule(dense=True)`` to methods of
    clips. ``jepa-lightning evaluate --protocol segmentation`` scores pixels, with a classifier that is trained to the
    end.

    Args:
        num_classes: of masks, with the background; None takes the number of the DataModule's ``mask_names``.
        mask: name of the masks int64 ``[B, H, W]`` or ``[B, T, H, W]`` in the extras of a batch; 255 is unlabeled.
        lr: of AdamW, constant, because the features keep changing.
        weight_decay: of AdamW.
        every_n_steps: train on the batches of every n-th optimizer step. None is 1 where the step returns the features
            anyway, and 8 where they cost a forward pass of the encoder on the full view (MAE's step returns none).
        name: of the metric and of the state in checkpoints; two probes of a type need two names.

    Raises:
        MisconfigurationException: in a run, if batches have no such masks, or classes that there are not, or tokens are
            not of these views.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import OnlineSegmentationProbe
        >>> trainer = Trainer(callbacks=[OnlineSegmentationProbe()])  # logs val/segmentation_miou
    """

    name = "segmentation"

    def __init__(
        self,
        num_classes: PositiveInt | None = None,
        mask: str = "mask",
        lr: LearningRate = 5e-3,
        weight_decay: NonNegativeFloat = 0.0,
        every_n_steps: PositiveInt | None = None,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(num_classes=num_classes, name=name, every_n_steps=every_n_steps)
        self.mask, self.lr, self.weight_decay = mask, lr, weight_decay

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Finds out how many classes there are.

        Raises:
            MisconfigurationException: if neither an option nor the data say it.
        """
        super().setup(trainer, pl_module, stage)
        names = getattr(trainer.datamodule, "mask_names", None)  # type: ignore[attr-defined]
        number = self.num_classes or len(names or ())
        if not isinstance(number, int) or number < 2:
            raise MisconfigurationException(
                f"{type(self).__name__} needs the number of classes of masks, 2 or more, and the data do not say it: "
                "set num_classes, or use data with masks, such as ShapesDataModule(dense=True)."
            )
        patch: Sequence[int] = getattr(getattr(pl_module, "eval_encoder", None), "patch", None) or ()
        self._labels.kinds = {"": MaskLabel(number, tubelet=patch[0] if len(patch) == 3 else 1)}

    def build_heads(self, features: Tensor, classes: list[int]) -> TokenHeads:
        """A linear layer behind a batch normalization, for each token."""
        return TokenHeads(features.shape[2], classes, features.device)

    def build_optimizer(self, heads: TokenHeads) -> torch.optim.Optimizer:
        """AdamW."""
        return torch.optim.AdamW(heads.parameters(), lr=self.lr, weight_decay=self.weight_decay)

    def labels(self, pl_module: LightningModule, batch: Any) -> dict[str, Tensor]:
        """Masks of the batch, ``[B, H, W]`` or ``[B, T, H, W]``."""
        found = batch.extras.get(self.mask) if isinstance(batch, Batch) else None
        if found is None or found.ndim not in (3, 4) or found.is_floating_point():
            raise MisconfigurationException(
                f"{type(self).__name__} needs masks [B, H, W] or [B, T, H, W] of classes, and the batch has no "
                f"extras[{self.mask!r}] of that form: use data with masks, such as ShapesDataModule(dense=True), name "
                "them (mask=), or leave the callback out."
            )
        masks = found.long()
        self._labels.look("", masks)
        return {"": masks}

    def inputs(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any) -> Tensor:
        """Tokens ``[B, N, D]``."""
        return self.source.tokens(trainer, pl_module, outputs, batch)

    def given(self, pl_module: LightningModule, outputs: Any) -> Tensor | None:
        """Tokens that the step has returned, if it has."""
        return self.source.tokens_in(pl_module, outputs)
