# B batch, C channels, H W height and width, P prototypes
"""DINO, arXiv 2104.14294."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Literal, get_args

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn

from jepa_lightning.data.augmentation import Augmentation
from jepa_lightning.ema import EMASchedule
from jepa_lightning.losses import Center, distillation_loss, sinkhorn_knopp
from jepa_lightning.modules.byol import ASYMMETRIC
from jepa_lightning.modules.joint_embedding import target_copy
from jepa_lightning.modules.multi_crop import MultiCrop
from jepa_lightning.modules.traits import Traits
from jepa_lightning.nn import PrototypeHead
from jepa_lightning.optim import optimizer_steps, warmup_steps
from jepa_lightning.options import (
    EMARange,
    FinalRate,
    LearningRate,
    Length,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    ShareBelowOne,
)
from jepa_lightning.types import Batch, StepOutput

Assignment = Literal["centering", "sinkhorn"]


class DINO(MultiCrop):
    """A student assigns every view to prototypes as its EMA teacher does the global ones, centered and sharpened.

    The center moves with the batch's mean, and Sinkhorn's assignment is one of the batch: so two batches of 32,
    accumulated, are not quite one of 64.

    The defaults are the paper's for a ViT-S/16 on ImageNet-1k, and the authors' code's where the paper gives none:
    crops and stochastic depth. That code also clips the gradient of each parameter to a norm of 3, for which the
    Trainer has ``gradient_clip_val=3.0`` on all of them together. There is no class token, the mean over patch tokens
    stands for it; prototypes have length 1, which the paper lifts for ViT-S.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` (``resnet50``).
        num_prototypes: P, the number of prototypes.
        head_hidden: width of the head's inner layers.
        bottleneck_dim: width of the prototypes.
        assignment: how the teacher assigns images to prototypes: ``centering``, or ``sinkhorn``, which gives each
            prototype an equal share.
        student_temperature: divides the student's logits.
        teacher_temperature: divides the teacher's logits, at the first step and after its warm-up.
        teacher_warmup: length of the rise of that temperature, along a line: a number of steps, a share of the run, or
            a text such as "30 epochs"; the default is the paper's 30 epochs of 800.
        center_momentum: weight of the old center when it moves to the mean of a batch.
        freeze_prototypes: length of the beginning in which the prototypes are not trained: a number of steps, a share
            of the run, or a text such as "1 epoch"; the default is the first of the paper's 800 epochs.
        ema: decay of the teacher at the first and at the last step.
        ema_schedule: how the decay of the target goes from the first value of ``ema`` to the second: ``linear`` or
            ``cosine``.
        drop_path: stochastic depth rate of the encoder's last block; 0.1 is the authors' code's.
        optimizer: name of the optimizer, any of ``timm.optim.list_optimizers()``.
        lr: peak learning rate. The default is the paper's for a batch of 1,024 images on all devices; its rule for
            other batches is 0.0005 x batch / 256.
        final_lr: learning rate of the last step.
        weight_decay: weight decay of the first step, for all weights but biases and norms.
        final_weight_decay: weight decay of the last step, reached along a cosine; None keeps ``weight_decay`` in the
            whole run.
        warmup: length of the linear warm-up of the learning rate: a number of steps, a share of the run, or a text such
            as "10 epochs" or "10%"; the default is the paper's 10 epochs of 800.
        kwargs: views as in ``MultiCrop``, the rest as in ``JointEmbedding`` and ``JEPAModule``.

    Raises:
        ValueError: if a temperature is not above 0, or there is no such assignment.

    Example:
        >>> import torch
        >>> from jepa_lightning import DINO
        >>> module = DINO("vit_tiny", depth=1, image_size=32, patch_size=8, num_prototypes=64)
        >>> module(torch.rand(2, 3, 32, 32)).shape
        torch.Size([2, 192])
    """

    traits: ClassVar = Traits(
        "representation", "EMA teacher, centering, sharpening", needs_augmentations=True, needs_negatives=False
    )
    can_fragment: ClassVar = False  # a cross-entropy is not 0 for the best prediction
    paper_batch = 1024

    def __init__(
        self,
        encoder: str = "vit_small",
        num_prototypes: PositiveInt = 65536,
        head_hidden: PositiveInt = 2048,
        bottleneck_dim: PositiveInt = 256,
        assignment: Assignment = "centering",
        student_temperature: PositiveFloat = 0.1,
        teacher_temperature: tuple[PositiveFloat, PositiveFloat] = (0.04, 0.07),
        teacher_warmup: Length = 0.0375,
        center_momentum: ShareBelowOne = 0.9,
        freeze_prototypes: Length = 0.00125,
        ema: EMARange = (0.996, 1.0),
        ema_schedule: EMASchedule = "cosine",
        drop_path: ShareBelowOne = 0.1,
        optimizer: str = "adamw",
        lr: LearningRate = 2e-3,
        final_lr: FinalRate = 1e-6,
        weight_decay: NonNegativeFloat = 0.04,
        final_weight_decay: NonNegativeFloat | None = 0.4,
        warmup: Length = 0.0125,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            encoder, ema=ema, ema_schedule=ema_schedule, drop_path=drop_path, optimizer=optimizer, lr=lr,
            final_lr=final_lr, weight_decay=weight_decay, final_weight_decay=final_weight_decay, warmup=warmup,
            **kwargs,
        )  # fmt: skip
        if assignment not in get_args(Assignment):
            raise ValueError(f"there is no assignment '{assignment}': choose one of {', '.join(get_args(Assignment))}.")
        for option, length in (("teacher_warmup", teacher_warmup), ("freeze_prototypes", freeze_prototypes)):
            warmup_steps(length, 1, 1.0, option)  # refuses a text without a unit
        self.assignment = assignment
        self.freeze_prototypes, self._frozen_steps = freeze_prototypes, 0
        self.student_temperature, self.teacher_temperature = student_temperature, teacher_temperature
        self.teacher_warmup = teacher_warmup
        # of the run; what is not a share is known when training starts
        self._warm_share = teacher_warmup if isinstance(teacher_warmup, float) else 0.0
        self.head = PrototypeHead(self.width, head_hidden, bottleneck_dim, num_prototypes)
        # the British name is in the state dicts of all checkpoints
        self.centre = Center(num_prototypes, center_momentum)
        self.target_encoder = target_copy(self.encoder)
        self.target_head = target_copy(self.head)

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: the center that one kind of assignment has."""
        unused = super().unused_options(options)
        if options["assignment"] == "sinkhorn":
            unused["center_momentum"] = "assignment sinkhorn has no center"
        return unused

    @property
    def eval_encoder(self) -> nn.Module:
        """The teacher, which the paper evaluates."""
        return self.target_encoder

    def augmentations(self) -> Sequence[Augmentation]:
        """Both global views with crops of .4 to 1, then a local one of .05 to .4."""
        large = [replace(view, crop_scale=(0.4, 1.0)) for view in ASYMMETRIC]
        return (*large, Augmentation((0.05, 0.4), blur=0.5, interpolation="bicubic"))

    def ema_pairs(self) -> Sequence[tuple[nn.Module, nn.Module]]:
        """Encoder and head, each with its teacher."""
        return ((self.encoder, self.target_encoder), (self.head, self.target_head))

    def embed(self, context: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the student for the first view and of the teacher for the second, ``[B, P]``."""
        with torch.no_grad():
            teacher = self.target_head(self.features(self.target_encoder, target))
        return self.head(self.features(self.encoder, context)), teacher

    def distance(self, predicted: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy of the student's assignments with the teacher's, from ``[B, P]`` logits of both: ``[B]``."""
        assigned = torch.softmax((target.float() - self.centre.value) / self.teacher_temperature[1], dim=1)
        return -(assigned * torch.log_softmax(predicted.float() / self.student_temperature, dim=1)).sum(dim=1)

    def objective(self, batch: Batch, progress: float) -> StepOutput:
        """Cross-entropy of each view's assignment with the teacher's of the other global views; moves the center."""
        views = self.multi_crop(batch)
        with torch.no_grad():
            features = self.encode_views(self.target_encoder, views[:2])
            logits = self.target_head(torch.cat(features))
            assigned = self._assign(logits, progress)
            entropy = -(assigned * assigned.clamp_min(1e-12).log()).sum(dim=1).mean()
            if self.training and self.assignment == "centering":
                self.centre(logits)
        student = self.head(torch.cat(self.encode_views(self.encoder, views))).chunk(len(views))
        loss = distillation_loss(list(student), list(assigned.chunk(2)), self.student_temperature)
        return StepOutput(loss, features[0], {"teacher_entropy": entropy})

    def on_train_start(self) -> None:
        """Turns lengths into steps, and warns if the prototypes stay as they are in the whole run."""
        total = optimizer_steps(self.trainer)
        epoch = self.trainer.num_training_batches / self.trainer.accumulate_grad_batches
        self._warm_share = warmup_steps(self.teacher_warmup, total, epoch, "teacher_warmup") / total
        self._frozen_steps = warmup_steps(self.freeze_prototypes, total, epoch, "freeze_prototypes")
        if self._frozen_steps >= total:
            rank_zero_warn(
                f"DINO(freeze_prototypes={self.freeze_prototypes!r}) keeps the prototypes as they are in all {total} "
                "steps of this run: give a part of the run, such as '1%' or '100 steps', or train for more epochs."
            )

    def on_after_backward(self) -> None:
        """Keeps the prototypes as they are at first. Source: appendix C."""
        if self.global_step < self._frozen_steps:
            self.head.prototypes.weight.grad = None

    def _assign(self, logits: Tensor, progress: float) -> Tensor:
        """The teacher's assignments, ``[2B, P]``."""
        start, end = self.teacher_temperature
        temperature = start + (end - start) * (min(1.0, progress / self._warm_share) if self._warm_share else 1.0)
        if self.assignment == "sinkhorn":
            return torch.cat([sinkhorn_knopp(view, temperature) for view in logits.chunk(2)])
        return torch.softmax((logits.float() - self.centre.value) / temperature, dim=1)
