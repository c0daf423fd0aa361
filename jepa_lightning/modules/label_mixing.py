# B batch, C classes, K columns of a label
"""Mixup and CutMix for labels of any kind, and the loss of labels that are mixed."""

from dataclasses import dataclass

import numpy as np
import torch
from timm.data.mixup import Mixup
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind, ValueLabel


@dataclass(frozen=True)
class LabelMixing:
    """Mixes images of a batch, by timm.

    Attributes:
        mixup: alpha of the mixed share (arXiv 1710.09412); 0 has no such mixing.
        cutmix: alpha of the area that another image takes (arXiv 1905.04899); 0 has no such mixing.
    """

    mixup: float
    cutmix: float

    def __call__(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mixed images, and the share that each image has in them, ``[B, B]``; None where nothing is mixed.

        It draws from torch's generator.

        Args:
            images: ``[B, C, H, W]``, or clips ``[B, C, T, H, W]``, which stay as they are.

        Raises:
            ValueError: if B is odd: timm mixes pairs.
        """
        if not (self.mixup or self.cutmix):
            return images, None
        if len(images) % 2:
            raise ValueError(
                f"mixup and cutmix take pairs of images, and the batch has {len(images)}: give an even one."
            )
        # of the indices of the images, timm makes the shares in which they are mixed
        mix = Mixup(self.mixup, self.cutmix, label_smoothing=0.0, num_classes=len(images))  # type: ignore[no-untyped-call]
        state = np.random.get_state()  # noqa: NPY002  # timm draws from this generator
        np.random.seed(int(torch.randint(2**31, ())))  # noqa: NPY002
        try:
            # timm cuts along the axes after the second; frames as channels have the same area cut out of all of them
            mixed, shares = mix(images.flatten(1, -3).clone(), torch.arange(len(images), device=images.device))
        finally:
            np.random.set_state(state)  # noqa: NPY002
        return mixed.view(images.shape), shares


def label_loss(
    kind: LabelKind, outputs: Tensor, target: Tensor, shares: Tensor | None = None, smoothing: float = 0.0
) -> Tensor:
    """Mean loss of the samples that have a label: cross-entropy, binary cross-entropy, or squared error.

    Args:
        kind: of the label.
        outputs: ``[B, size of the kind]``.
        target: as ``kind`` takes it.
        shares: of each sample in each image, ``[B, B]``; None where images are not mixed.
        smoothing: share of the target that all classes have alike.
    """
    known = kind.labeled(target)
    if shares is None and not (smoothing and isinstance(kind, ClassLabel)):
        return kind.loss(outputs, target) / known.sum().clamp(min=1)
    shares = torch.eye(len(target), device=outputs.device) if shares is None else shares
    # an image has as much weight as those of its parts that have the label
    weight = (shares * known).sum(dim=1)
    parts = shares * known / weight.clamp(min=1e-8)[:, None]
    if isinstance(kind, ClassLabel):
        # not F.one_hot, since a class out of range would end in a fault of the device before it can be explained
        soft = parts @ (target[:, None] == torch.arange(kind.size, device=target.device)).to(parts.dtype)
        soft = soft * (1 - smoothing) + smoothing / kind.size
        each = -(soft * outputs.log_softmax(dim=1)).sum(dim=1)
    elif isinstance(kind, ValueLabel):
        each = (outputs - parts @ target.where(known[:, None], 0)).square().mean(dim=1)
    else:
        soft = parts @ target.clamp(min=0).to(parts.dtype)
        each = F.binary_cross_entropy_with_logits(outputs, soft, reduction="none").mean(dim=1)
    return (each * weight).sum() / weight.sum().clamp(min=1e-8)
