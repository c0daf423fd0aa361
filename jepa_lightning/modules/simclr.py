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
from jepa_lightning.options import FinalRate, LearningRate, Length, NonNegativeFloat, PositiveFloat, PositiveInt
from jepa_lightning.types import Batch, StepOutput


class SimCLR(JointEmbedding):
    """Two views of an image are each other's nearest among those of all images in the batch, on all ranks.

    The loss compares samples with each other: two batches of 32, accumulated, are not one of 64.

    The defaults are the paper's for a ResNet-50 on ImageNet-1k. The projector is the paper's too; the authors' code
    puts a batch normalization behind its output.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        projector_hidden: width of the projector's inner layer.
        projector_dim: P, the width of the projections.
        temperature: divides the cosines before the softmax; 0.1 is the paper's best for its large batches.
        optimizer: name of the optimizer, any of ``timm.optim.list_optimizers()``; LARS treats biases and norms as plain
            SGD does.
        lr: peak learning rate. The default is the paper's for a batch of 4,096 images on all devices; its rules for
            other batches are 0.3 x batch / 256, and for small ones 0.075 x sqrt(batch) (appendix B.1).
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the default is the paper's 10 epochs of 100.
        kwargs: encoder, views, optimizer and schedule, as in ``JointEmbedding`` and ``JEPAModule``.

    Example:
        >>> import torch
        >>> from jepa_lightning import SimCLR
        >>> module = SimCLR("vit_tiny", depth=1, image_size=32, patch_size=8)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits("representation", "negatives", needs_augmentations=True, needs_negatives=True)
    paper_batch = 4096
    paper_rule = "square root"
    least_samples = 2

    def __init__(
        self,
        encoder: str = "resnet50",
        projector_hidden: PositiveInt = 2048,
        projector_dim: PositiveInt = 128,
        temperature: PositiveFloat = 0.1,
        optimizer: str = "lars",
        lr: LearningRate = 4.8,
        final_lr: FinalRate = 0.0,
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
