# B batch, C channels, H W height and width, V views, P projection width
"""LeJEPA, arXiv 2511.08544."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.losses import SIGReg
from jepa_lightning.modules.multi_crop import MultiCrop
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import mlp_head
from jepa_lightning.options import (
    FinalRate,
    LearningRate,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    Share,
)
from jepa_lightning.types import Batch, StepOutput


class LeJEPA(MultiCrop):
    """All views' projections are near the mean of the global ones, and look standard normal from every direction.

    No teacher, no predictor and no stop-gradient. The normality is a statistic of the batch: two batches of 32,
    accumulated, are not one of 64.

    The defaults are those of the authors' README for a ViT-S. The share of SIGReg, the projector and the warm-up of a
    tenth of the run are ours.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        projector_hidden: width of the projector's inner layers.
        projector_dim: P, the width of the projections.
        sigreg_share: share of the normality term in the loss; the rest goes to the distance of views.
        num_directions: number of directions along which normality is measured, drawn at each step and the same for all
            views.
        num_knots: number of points of the integral along a direction.
        num_local: local views of an image.
        lr: peak learning rate; the authors give one for all batches.
        final_lr: learning rate of the last step, a thousandth of the peak.
        weight_decay: weight decay of all weights but biases and norms; the default is the authors' for Vision
            Transformers.
        kwargs: views as in ``MultiCrop``, the rest as in ``JointEmbedding`` and ``JEPAModule``.

    Raises:
        ValueError: if the share is not within [0, 1].

    Example:
        >>> import torch
        >>> from jepa_lightning import LeJEPA
        >>> module = LeJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, projector_hidden=64)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits(
        "representation", "statistics of the batch", needs_augmentations=True, needs_negatives=False
    )

    def __init__(
        self,
        encoder: str = "vit_small",
        projector_hidden: PositiveInt = 2048,
        projector_dim: PositiveInt = 64,
        sigreg_share: Share = 0.05,
        num_directions: PositiveInt = 1024,
        num_knots: PositiveInt = 17,
        num_local: NonNegativeInt = 6,
        lr: LearningRate = 5e-4,
        final_lr: FinalRate = 5e-7,
        weight_decay: NonNegativeFloat = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, num_local=num_local, lr=lr, final_lr=final_lr, weight_decay=weight_decay, **kwargs,
        )  # fmt: skip
        self.sigreg_share = sigreg_share
        self.normality = SIGReg(num_directions, num_knots, gather=True)
        self.projector = mlp_head([self.width, projector_hidden, projector_hidden, projector_dim])

    def augmentations(self) -> Sequence[Augmentation]:
        """Global views with crops of .3 to 1, then a local one of .05 to .3."""
        view = Augmentation((0.3, 1.0), blur=0.5, solarize=0.2)
        return (view, view, replace(view, crop_scale=(0.05, 0.3)))

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Squared distance between ``[B, P]`` projections of two views, a mean over P: ``[B]``."""
        return (predicted - target).float().square().mean(dim=1)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Distance to the mean of the global views, and the normality of each view over the samples of all ranks."""
        features = self.encode_views(self.encoder, self.multi_crop(batch))
        projected = self.projector(torch.cat(features)).float().unflatten(0, (len(features), -1))  # [V, B, P]
        center = projected[:2].mean(dim=0)
        distance = (projected - center).square().mean()
        normality = self.normality(*projected)
        logs = {"invariance": distance.detach(), "normality": normality.detach()}
        return StepOutput(
            (1 - self.sigreg_share) * distance + self.sigreg_share * normality, features[0].detach(), logs
        )
