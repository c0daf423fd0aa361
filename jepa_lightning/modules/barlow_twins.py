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
from jepa_lightning.options import FinalRate, LearningRate, Length, NonNegativeFloat, PositiveFloat, PositiveInt
from jepa_lightning.types import Batch, StepOutput


class BarlowTwins(JointEmbedding):
    """Each feature of one view's projection correlates with the same of the other view, and with no other.

    The loss is a statistic of the batch: two batches of 32, accumulated, are not one of 64.

    The defaults are the paper's for a ResNet-50 on ImageNet-1k.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        projector_dim: P, the width of the projections and of the projector's inner layers.
        off_diagonal: weight of the correlations between different features; 0.0051 is the authors' code's, which the
            paper rounds to 0.005.
        loss_scale: factor on the loss. The paper has a smaller learning rate for biases and norms, 0.0048 against 0.2.
            With LARS the factor 0.024 does the same: steps of weights hardly depend on it, those of biases and norms
            are in proportion. Take 1 with another optimizer.
        optimizer: name of the optimizer, any of ``timm.optim.list_optimizers()``; LARS treats biases and norms as plain
            SGD does.
        lr: peak learning rate. The default is the paper's for a batch of 2,048 images on all devices; its rule for
            other batches is 0.2 x batch / 256.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the default is the paper's 10 epochs of 1,000.
        kwargs: encoder, views, optimizer and schedule, as in ``JointEmbedding`` and ``JEPAModule``.

    Example:
        >>> import torch
        >>> from jepa_lightning import BarlowTwins
        >>> module = BarlowTwins("vit_tiny", depth=1, image_size=32, patch_size=8, projector_dim=64)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits(
        "representation", "statistics of the batch", needs_augmentations=True, needs_negatives=False
    )
    paper_batch = 2048
    least_samples = 2

    def __init__(
        self,
        encoder: str = "resnet50",
        projector_dim: PositiveInt = 8192,
        off_diagonal: NonNegativeFloat = 0.0051,
        loss_scale: PositiveFloat = 0.024,
        optimizer: str = "lars",
        lr: LearningRate = 1.6,
        final_lr: FinalRate = 1.6e-3,
        weight_decay: NonNegativeFloat = 1.5e-06,
        warmup: Length = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, optimizer=optimizer, lr=lr, final_lr=final_lr, weight_decay=weight_decay, warmup=warmup,
            **kwargs,
        )  # fmt: skip
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
