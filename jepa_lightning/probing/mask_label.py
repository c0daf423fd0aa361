# B batch, N tokens, D width, H W height and width, h w of the grid, C classes
"""The class of a place, scored by the mean intersection over union."""

import math

from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassJaccardIndex

from jepa_lightning.probing.dense_heads import IGNORED
from jepa_lightning.probing.label_kinds import ClassLabel
from jepa_lightning.probing.linear_heads import LinearHeads


class MaskLabel(ClassLabel):
    """A mask int64 ``[B, H, W]``, of which each token is to tell its class; 255 is unlabeled. Scored by mIoU.

    Args:
        size: C.
    """

    suffix = "miou"

    def labeled(self, target: Tensor) -> Tensor:
        """Masks that have a labeled pixel."""
        return (target != IGNORED).flatten(1).any(dim=1)

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy averaged over the ``[B, N, C]`` tokens, summed over the masks."""
        places = classes_of_places(target, self.size, outputs.shape[1])
        return super().loss(outputs.flatten(0, 1), places.flatten()) / outputs.shape[1]

    def metrics(self) -> dict[str, Metric]:
        """Mean intersection over union of the classes that are there or found."""
        return {"miou": MulticlassJaccardIndex(self.size, ignore_index=-1, validate_args=False)}

    def scored(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and classes of all tokens."""
        return outputs.flatten(0, 1), classes_of_places(target, self.size, outputs.shape[1]).flatten()


class TokenHeads(LinearHeads):
    """The same linear classifier for each token."""

    least = 1

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """``[B, N, D]`` to ``[B, N, C]``."""
        [found] = super().forward(features.flatten(0, 1))
        return [[each.view(*features.shape[:2], -1) for each in found]]


def classes_of_places(mask: Tensor, classes: int, tokens: int) -> Tensor:
    """The class that most pixels of each place of a grid have.

    Args:
        mask: int64 ``[B, H, W]`` of classes, 255 where there is none.
        classes: C.
        tokens: places of the grid, which are taken to be as far apart in both directions.

    Returns:
        int64 ``[B, h * w]``, -1 where most pixels have none.

    Raises:
        ValueError: if the places are on no such grid.
    """
    height, width = mask.shape[1:]
    rows = round(math.sqrt(tokens * height / width)) or 1
    if tokens % rows:
        raise ValueError(f"{tokens} tokens are on no grid over masks of {height} x {width} pixels.")
    shown = F.one_hot(mask.where(mask != IGNORED, classes), classes + 1).movedim(-1, 1).float()
    found = F.adaptive_avg_pool2d(shown, (rows, tokens // rows)).argmax(dim=1).flatten(1)
    return found.where(found < classes, -1)
