# B batch, C channels, H W height and width, P projection width
"""Barlow Twins, arXiv 2103.03230."""

from collections.abc import Sequence
from typing import Any, ClassVar

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.losses import barlow_twins_loss
from jepa_lightning.modules.byol import ASYMMETRIC
from jepa_lightning.modules.joint_embedding import JointEmbedding
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import mlp_head
from jepa_lightning.options import NonNegativeFloat, PositiveFloat, PositiveInt
from jepa_lightning.types import Batch, StepOutput


class BarlowTwins(JointEmbedding):
    """Each feature of one view's projection correlates with the same of the other view, and with no other.

    The loss is a statistic of the batch: two batches of 32, accumulated, are not one of 64.

    Args:
        encoder: as in ``JointEmbedding``.
        projector_dim: P, and the width of the projector's inner layers.
        off_diagonal: weight of the correlations between different features.
        loss_scale: factor on the loss; the authors' code takes .024 with LARS, solo-learn .1.
        kwargs: encoder, views, optimizer and schedule, as in ``JointEmbedding`` and ``JEPAModule``.
    """

    traits: ClassVar = Traits(
        "representation", "statistics of the batch", needs_augmentations=True, needs_negatives=False
    )
    least_samples = 2

    def __init__(
        self,
        encoder: str = "resnet18",
        projector_dim: PositiveInt = 8192,
        off_diagonal: NonNegativeFloat = 0.0051,
        loss_scale: PositiveFloat = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, **kwargs)
        self.off_diagonal, self.loss_scale = off_diagonal, loss_scale
        self.projector = mlp_head([self.width, projector_dim, projector_dim, projector_dim], last_bias=False)

    def augmentations(self) -> Sequence[Augmentation]:
        """BYOL's. Source: section 2.2."""
        return ASYMMETRIC

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Distance of the views' cross-correlation, over the samples of all ranks, from the identity."""
        features = [self.features(self.encoder, view) for view in self.two_views(batch)]
        first, second = (self.projector(pooled) for pooled in features)
        loss = self.loss_scale * barlow_twins_loss(first, second, self.off_diagonal, gather=True)
        return StepOutput(loss, features[0].detach(), {})
