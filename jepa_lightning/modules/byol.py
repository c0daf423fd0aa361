# B batch, C channels, H W height and width, P projection width
"""BYOL, arXiv 2006.07733."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.ema import EMASchedule
from jepa_lightning.losses import prediction_loss
from jepa_lightning.modules.joint_embedding import JointEmbedding, target_copy
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import mlp_head
from jepa_lightning.options import EMARange, FinalRate, LearningRate, Length, NonNegativeFloat, PositiveInt
from jepa_lightning.types import Batch, StepOutput

# one view is always blurred, the other rarely; appendix B, table 6
ASYMMETRIC = (
    Augmentation(blur=1.0, interpolation="bicubic"),
    Augmentation(blur=0.1, solarize=0.2, interpolation="bicubic"),
)


class BYOL(JointEmbedding):
    """A predictor on one view's projection fits the EMA target's projection of the other view.

    Batch normalization is the one thing through which samples see each other: with it, two batches of 32, accumulated,
    are not quite one of 64. The target's runs on batch statistics too, as in the paper; nothing else in the target is
    in train mode.

    The defaults are the paper's for a ResNet-50 on ImageNet-1k.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        projector_hidden: width of the inner layers of projector and predictor.
        projector_dim: P, the width of the projections.
        ema: decay of the target at the first and at the last step.
        ema_schedule: how the decay of the target goes from the first value of ``ema`` to the second: ``linear`` or
            ``cosine``.
        optimizer: name of the optimizer, any of ``timm.optim.list_optimizers()``; LARS treats biases and norms as plain
            SGD does.
        lr: peak learning rate. The default is the paper's for a batch of 4,096 images on all devices; its rule for
            other batches is 0.2 x batch / 256.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the default is the paper's 10 epochs of 1,000.
        kwargs: encoder, views, optimizer and schedule, as in ``JointEmbedding`` and ``JEPAModule``.

    Example:
        >>> import torch
        >>> from jepa_lightning import BYOL
        >>> module = BYOL("vit_tiny", depth=1, image_size=32, patch_size=8, projector_hidden=64)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits(
        "representation", "EMA target, predictor, stop-gradient", needs_augmentations=True, needs_negatives=False
    )
    paper_batch = 4096

    def __init__(
        self,
        encoder: str = "resnet50",
        projector_hidden: PositiveInt = 4096,
        projector_dim: PositiveInt = 256,
        ema: EMARange = (0.996, 1.0),
        ema_schedule: EMASchedule = "cosine",
        optimizer: str = "lars",
        lr: LearningRate = 3.2,
        final_lr: FinalRate = 0.0,
        weight_decay: NonNegativeFloat = 1.5e-06,
        warmup: Length = 0.01,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, optimizer=optimizer, lr=lr, final_lr=final_lr, weight_decay=weight_decay, warmup=warmup,
            ema=ema, ema_schedule=ema_schedule, **kwargs,
        )  # fmt: skip
        self.projector = mlp_head([self.width, projector_hidden, projector_dim])
        self.predictor = mlp_head([projector_dim, projector_hidden, projector_dim])
        self.target_encoder = target_copy(self.encoder)
        self.target_projector = target_copy(self.projector)

    def augmentations(self) -> Sequence[Augmentation]:
        """Blurred and hardly blurred views."""
        return ASYMMETRIC

    def ema_pairs(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Encoder and projector, each with its target."""
        return ((self.encoder, self.target_encoder), (self.projector, self.target_projector))

    def embed(self, context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction from the first view and target projection of the second, ``[B, P]``."""
        predicted = self.predictor(self.projector(self.features(self.encoder, context)))
        return predicted, self._target(target)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """2 - 2 cos of prediction and target projection, from either view to the other, summed."""
        views = self.two_views(batch)
        features = [self.features(self.encoder, view) for view in views]
        first, second = (self.predictor(self.projector(pooled)) for pooled in features)
        target_first, target_second = (self._target(view) for view in views)
        loss = 2 * (prediction_loss(first, target_second, "cosine") + prediction_loss(second, target_first, "cosine"))
        return StepOutput(loss, features[0].detach(), {})

    @torch.no_grad()
    def _target(self, view: Tensor) -> Tensor:
        projected: Tensor = self.target_projector(self.features(self.target_encoder, view))
        return projected
