# B batch, C channels, H W height and width, P projection width, Q queue
"""MoCo v2, arXiv 2003.04297, and MoCo v3, arXiv 2104.02057."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, get_args

import torch
from timm.models import ResNet
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.distributed import gather_samples
from jepa_lightning.ema import EMASchedule
from jepa_lightning.losses import info_nce_loss
from jepa_lightning.modules.byol import ASYMMETRIC
from jepa_lightning.modules.joint_embedding import JointEmbedding, target_copy
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import KeyQueue, TimmBackbone, mlp_head
from jepa_lightning.options import (
    EMARange,
    FinalRate,
    LearningRate,
    Length,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
)
from jepa_lightning.types import Batch, StepOutput

Version = Literal["v2", "v3"]
# of options that are None
PAPER: dict[str, dict[str, Any]] = {
    "v2": {"optimizer": "momentum", "lr": 0.03, "weight_decay": 1e-4, "warmup": 0, "ema": (0.999, 0.999)},
    "v3": {"optimizer": "adamw", "lr": 2.4e-3, "weight_decay": 0.1, "warmup": 40 / 300, "ema": (0.99, 1.0)},
}


class MoCo(JointEmbedding):
    """A view's query picks the EMA target's key of the other view among keys of other images.

    Version 2 takes the others from a queue of earlier keys, and goes from the first view to the second; version 3 takes
    them from the batch, both ways, and puts a predictor on the query. Batch normalization in the target runs on batch
    statistics of its own process, which the paper shuffles over devices; ``--trainer.sync_batchnorm true`` makes them
    joint instead. Version 3 compares samples of the batch: two batches of 32, accumulated, are not one of 64.

    The defaults of version 2 are the paper's for a ResNet-50 on ImageNet-1k, those of version 3 the paper's for Vision
    Transformers. The heads of version 3 follow the encoder, as in the paper: a ResNet of timm has a projector of 2
    layers and a predictor whose output is not normalized; other encoders have 3 layers and a normalized output. Its
    optimizer does not: with a ResNet the paper trains by LARS, so set ``optimizer``, ``lr`` and ``weight_decay``. The
    patch projection of a Vision Transformer is trained; the paper freezes it.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        version: version of the method, ``v2`` or ``v3``.
        projector_hidden: width of the inner layers; None takes the paper's: D in version 2, 4,096 in version 3.
        projector_dim: P, the width of the projections; None takes the paper's: 128 in version 2, 256 in version 3.
        temperature: divides the cosines before the softmax.
        queue_size: Q, the number of keys in the queue of version 2.
        ema: decay of the target at the first and at the last step; None takes the paper's: constant 0.999 in version 2,
            0.99 to 1 in version 3.
        ema_schedule: how the decay of the target goes from the first value of ``ema`` to the second: ``linear`` or
            ``cosine``.
        optimizer: name of the optimizer, any of ``timm.optim.list_optimizers()``; None takes the paper's: ``momentum``
            (SGD) in version 2, ``adamw`` in version 3.
        lr: peak learning rate; None takes the paper's: in version 2 0.03 for a batch of 256, in proportion to which it
            grows; in version 3 0.0024 for a batch of 4,096, by the rule 0.00015 x batch / 256.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of all weights but biases and norms; version 2 of the paper decays these too. None
            takes the paper's: 0.0001 in version 2, 0.1 in version 3.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; None takes the paper's: none in version 2, 40 epochs of 300 in version 3.
        kwargs: encoder, views, optimizer and schedule, as in ``JointEmbedding`` and ``JEPAModule``.

    Raises:
        ValueError: if there is no such version, or the queue has no place.

    Example:
        >>> import torch
        >>> from jepa_lightning import MoCo
        >>> module = MoCo("vit_tiny", depth=1, image_size=32, patch_size=8, queue_size=64)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits("representation", "negatives", needs_augmentations=True, needs_negatives=True)
    paper_batch = 256

    def __init__(
        self,
        encoder: str = "resnet50",
        version: Version = "v2",
        projector_hidden: PositiveInt | None = None,
        projector_dim: PositiveInt | None = None,
        temperature: PositiveFloat = 0.2,
        queue_size: PositiveInt = 65536,
        ema: EMARange | None = None,
        ema_schedule: EMASchedule = "cosine",
        optimizer: str | None = None,
        lr: LearningRate | None = None,
        final_lr: FinalRate = 0.0,
        weight_decay: NonNegativeFloat | None = None,
        warmup: Length | None = None,
        **kwargs: Any,
    ) -> None:
        if version not in get_args(Version):
            raise ValueError(f"there is no version '{version}': choose one of {', '.join(get_args(Version))}.")
        third = version == "v3"
        given = {"optimizer": optimizer, "lr": lr, "weight_decay": weight_decay, "warmup": warmup, "ema": ema}
        chosen = PAPER[version] | {name: value for name, value in given.items() if value is not None}
        super().__init__(encoder, ema_schedule=ema_schedule, final_lr=final_lr, **chosen, **kwargs)
        self.version, self.temperature = version, temperature
        self.least_samples, self.paper_batch = (2, 4096) if third else (1, 256)
        hidden = projector_hidden or (4096 if third else self.width)
        dim = projector_dim or (256 if third else 128)
        if third:
            resnet = isinstance(self.encoder, TimmBackbone) and isinstance(self.encoder.model, ResNet)
            self.projector = mlp_head([self.width, *[hidden] * (1 if resnet else 2), dim], last_norm=True)
            self.predictor: nn.Module = mlp_head([dim, hidden, dim], last_norm=not resnet)
        else:
            self.projector = mlp_head([self.width, hidden, dim], norm=False)
            self.predictor, self.queue = nn.Identity(), KeyQueue(queue_size, dim)
        self.target_encoder = target_copy(self.encoder)
        self.target_projector = target_copy(self.projector)

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: the queue of version 2."""
        unused = super().unused_options(options)
        return unused | {"queue_size": "version v3 has no queue"} if options["version"] == "v3" else unused

    def augmentations(self) -> Sequence[Augmentation]:
        """Two like views in version 2, BYOL's in version 3."""
        if self.version == "v3":
            return [replace(augmentation, interpolation="bilinear") for augmentation in ASYMMETRIC]
        view = Augmentation(crop_scale=(0.2, 1.0), jitter=(0.4, 0.4, 0.4, 0.1))
        return (view, view)

    def ema_pairs(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Encoder and projector, each with its target."""
        return ((self.encoder, self.target_encoder), (self.projector, self.target_projector))

    def embed(self, context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Query of the first view and key of the second, ``[B, P]``."""
        return self._query(self.features(self.encoder, context)), self._key(target)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """InfoNCE of queries and keys; in training, version 2 then puts the keys of all ranks into its queue."""
        views = self.two_views(batch)
        features = self.features(self.encoder, views[0])
        query = self._query(features)
        if self.version == "v2":
            key = self._key(views[1])
            loss = info_nce_loss(query, key, self.temperature, self.queue.keys.clone())
            if self.training:
                self.queue(gather_samples(F.normalize(key.float(), dim=1)))
        else:
            keys = [self._key(view) for view in views]
            other = self._query(self.features(self.encoder, views[1]))
            there = info_nce_loss(query, keys[1], self.temperature, gather=True)
            back = info_nce_loss(other, keys[0], self.temperature, gather=True)
            loss = 2 * self.temperature * (there + back)  # the factor is that of algorithm 1
        return StepOutput(loss, features.detach(), {})

    def _query(self, features: Tensor) -> Tensor:
        query: Tensor = self.predictor(self.projector(features))
        return query

    @torch.no_grad()
    def _key(self, view: Tensor) -> Tensor:
        key: Tensor = self.target_projector(self.features(self.target_encoder, view))
        return key
