# B batch, C channels, H W height and width, P projection width
"""SimSiam, arXiv 2011.10566."""

from collections.abc import Sequence
from typing import Any, ClassVar

from torch import Tensor

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.losses import prediction_loss
from jepa_lightning.modules.joint_embedding import JointEmbedding
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import mlp_head
from jepa_lightning.options import FinalRate, LearningRate, Length, NonNegativeFloat, PositiveInt
from jepa_lightning.types import Batch, StepOutput


class SimSiam(JointEmbedding):
    """A predictor on one view's projection fits the other view's projection, which gets no gradient.

    Batch normalization is the one thing through which samples see each other: with it, two batches of 32, accumulated,
    are not quite one of 64.

    The defaults are the paper's for a ResNet-50 on ImageNet-1k.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        projector_dim: P, the width of the projections and of the projector's inner layers.
        predictor_hidden: width of the predictor's inner layer, a quarter of P in the paper.
        constant_predictor_lr: keep the predictor's learning rate at its peak, as the paper does (section 4.2).
        optimizer: name of the optimizer, any of ``timm.optim.list_optimizers()``; ``momentum`` is plain SGD, while
            ``sgd`` has Nesterov's momentum.
        lr: peak learning rate. The default is the paper's for a batch of 512 images on all devices; its rule for other
            batches is 0.05 x batch / 256.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms; the paper decays these too.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the paper has none.
        kwargs: encoder, views, optimizer and schedule, as in ``JointEmbedding`` and ``JEPAModule``.

    Example:
        >>> import torch
        >>> from jepa_lightning import SimSiam
        >>> module = SimSiam("vit_tiny", depth=1, image_size=32, patch_size=8, projector_dim=64)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits(
        "representation", "predictor, stop-gradient", needs_augmentations=True, needs_negatives=False
    )
    paper_batch = 512

    def __init__(
        self,
        encoder: str = "resnet50",
        projector_dim: PositiveInt = 2048,
        predictor_hidden: PositiveInt = 512,
        constant_predictor_lr: bool = True,
        optimizer: str = "momentum",
        lr: LearningRate = 0.1,
        final_lr: FinalRate = 0.0,
        weight_decay: NonNegativeFloat = 0.0001,
        warmup: Length = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, optimizer=optimizer, lr=lr, final_lr=final_lr, weight_decay=weight_decay, warmup=warmup,
            **kwargs,
        )  # fmt: skip
        self.constant_lr = ("predictor",) if constant_predictor_lr else ()
        self.projector = mlp_head([self.width, projector_dim, projector_dim, projector_dim], last_norm=True)
        self.predictor = mlp_head([projector_dim, predictor_hidden, projector_dim])

    def augmentations(self) -> Sequence[Augmentation]:
        """MoCo v2's, twice. Source: section 3."""
        view = Augmentation(crop_scale=(0.2, 1.0), jitter=(0.4, 0.4, 0.4, 0.1))
        return (view, view)

    def embed(self, context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Prediction from the first view and projection of the second, ``[B, P]``."""
        first, second = (self.projector(self.features(self.encoder, view)) for view in (context, target))
        return self.predictor(first), second.detach()

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """1 - cos of prediction and projection, the mean of both directions; the paper leaves out the 1."""
        features = [self.features(self.encoder, view) for view in self.two_views(batch)]
        first, second = (self.projector(pooled) for pooled in features)
        there = prediction_loss(self.predictor(first), second.detach(), "cosine")
        back = prediction_loss(self.predictor(second), first.detach(), "cosine")
        return StepOutput((there + back) / 2, features[0].detach(), {})
