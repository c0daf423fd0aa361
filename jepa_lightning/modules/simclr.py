# B batch, C channels, H W height and width, P projection width
"""SimCLR, arXiv 2002.05709."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.losses import nt_xent_loss
from jepa_lightning.modules.joint_embedding import JointEmbedding
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import mlp_head
from jepa_lightning.options import Length, NonNegativeFloat, PositiveFloat, PositiveInt
from jepa_lightning.types import Batch, StepOutput


class SimCLR(JointEmbedding):
    """Two views of an image are each other's nearest among those of all images in the batch, on all ranks.

    The loss compares samples with each other: two batches of 32, accumulated, are not one of 64.

    The defaults are the paper's for a ResNet-50 on ImageNet-1k. The projector is the paper's too; the authors' code
    puts a batch normalization behind its output.

    Args:
        encoder: as in ``JointEmbedding``.
        projector_hidden: width of the projector's inner layer.
        projector_dim: P.
        temperature: divides the cosines; the paper's best is .1 with its batches of thousands.
        optimizer: any of timm's, by name; LARS leaves biases and norms to plain SGD.
        lr: peak learning rate; the paper's for its batch of 4,096, by its rule
            0.3 x batch / 256 with the batch of all devices.
        final_lr: learning rate of the last step.
        weight_decay: of all weights but biases and norms.
        warmup: steps, or a share of the run, or text such as "10 epochs"; the paper's 10 epochs of 100.
        kwargs: encoder, views, optimizer and schedule, as in ``JointEmbedding`` and ``JEPAModule``.
    """

    traits: ClassVar = Traits("representation", "negatives", needs_augmentations=True, needs_negatives=True)
    least_samples = 2

    def __init__(
        self,
        encoder: str = "resnet50",
        projector_hidden: PositiveInt = 2048,
        projector_dim: PositiveInt = 128,
        temperature: PositiveFloat = 0.1,
        optimizer: str = "lars",
        lr: PositiveFloat = 4.8,
        final_lr: NonNegativeFloat = 0.0,
        weight_decay: NonNegativeFloat = 1e-06,
        warmup: Length = 0.1,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, optimizer=optimizer, lr=lr, final_lr=final_lr, weight_decay=weight_decay, warmup=warmup,
            **kwargs,
        )  # fmt: skip
        self.temperature = temperature
        self.projector = mlp_head([self.width, projector_hidden, projector_dim])

    def augmentations(self) -> Sequence[Augmentation]:
        """Twice the color changes of later methods. Source: appendix A."""
        view = Augmentation(jitter=(0.8, 0.8, 0.8, 0.2))
        return (view, view)

    def embed(self, context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Projections of both views, ``[B, P]``."""
        projected = self.projector(self.features(self.encoder, torch.cat([context, target])))
        first, second = projected.chunk(2)
        return first, second

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """NT-Xent of both views, which are normalized together as one batch."""
        views = self.two_views(batch)
        features = self.features(self.encoder, torch.cat(views))
        first, second = self.projector(features).chunk(2)
        loss = nt_xent_loss(first, second, self.temperature, gather=True)
        return StepOutput(loss, features.detach().chunk(2)[0], {})
