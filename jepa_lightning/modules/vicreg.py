# B batch, C channels, H W height and width, P projection width
"""VICReg, arXiv 2105.04906."""

from collections.abc import Sequence
from typing import Any, ClassVar

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.losses import VarianceCovariance, prediction_loss
from jepa_lightning.modules.joint_embedding import JointEmbedding
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import mlp_head
from jepa_lightning.options import FinalRate, LearningRate, Length, NonNegativeFloat, PositiveInt
from jepa_lightning.types import Batch, StepOutput


class VICReg(JointEmbedding):
    """Two views' projections are close, and each of their features varies over the batch, without correlation.

    Its terms are statistics of the batch: two batches of 32, accumulated, are not one of 64.

    The defaults are the paper's for a ResNet-50 on ImageNet-1k.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        projector_dim: P, the width of the projections and of the projector's inner layers.
        invariance: weight of the squared distance between views.
        variance: weight of the hinge on each feature's standard deviation, summed over views. The authors' code halves
            the sum.
        covariance: weight of the squared covariances, summed over views.
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
        >>> from jepa_lightning import VICReg
        >>> module = VICReg("vit_tiny", depth=1, image_size=32, patch_size=8, projector_dim=64)
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
        invariance: NonNegativeFloat = 25.0,
        variance: NonNegativeFloat = 25.0,
        covariance: NonNegativeFloat = 1.0,
        optimizer: str = "lars",
        lr: LearningRate = 1.6,
        final_lr: FinalRate = 1.6e-3,
        weight_decay: NonNegativeFloat = 1e-06,
        warmup: Length = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, optimizer=optimizer, lr=lr, final_lr=final_lr, weight_decay=weight_decay, warmup=warmup,
            **kwargs,
        )  # fmt: skip
        self.invariance = invariance
        self.spread = VarianceCovariance(variance, covariance, gather=True)
        self.projector = mlp_head([self.width, projector_dim, projector_dim, projector_dim], last_bias=False)

    def augmentations(self) -> Sequence[Augmentation]:
        """The same chances for both views. Source: appendix C.1."""
        view = Augmentation(blur=0.5, solarize=0.1)
        return (view, view)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Invariance, variance and covariance terms, over the samples of all ranks."""
        features = [self.features(self.encoder, view) for view in self.two_views(batch)]
        projected = [self.projector(pooled) for pooled in features]
        invariance = self.invariance * prediction_loss(projected[0], projected[1], "l2")
        spread = 2 * self.spread(*projected)  # a sum over both views
        logs = {"invariance": invariance.detach(), "spread": spread.detach()}
        return StepOutput(invariance + spread, features[0].detach(), logs)
