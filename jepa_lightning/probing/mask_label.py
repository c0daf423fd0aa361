# B batch, N tokens, D width, T frames, H W height and width, t h w of the grid, C classes
"""The class of a place, scored by the mean intersection over union."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import Metric
from torchmetrics.classification import MulticlassJaccardIndex

from jepa_lightning.probing.dense_heads import IGNORED
from jepa_lightning.probing.label_kinds import ClassLabel
from jepa_lightning.probing.linear_heads import LinearHeads


class MaskLabel(ClassLabel):
    """A mask int64 ``[B, H, W]`` or ``[B, T, H, W]``, of which each token is to tell its class. Scored by mIoU.

    Args:
        size: C; 255 is unlabeled.
        tubelet: frames of a token of a clip.
    """

    suffix = "miou"

    def __init__(self, size: int, tubelet: int = 1) -> None:
        super().__init__(size)
        self.tubelet = tubelet

    def labeled(self, target: Tensor) -> Tensor:
        """Masks that have a labeled pixel."""
        return (target != IGNORED).flatten(1).any(dim=1)

    def offender(self, target: Tensor) -> Tensor:
        """A class that there is not."""
        wrong = (target < 0) | ((target >= self.size) & (target != IGNORED))
        return target.float().where(wrong, -torch.inf).amax()

    def refusal(self, value: float) -> str:
        """Names the class and the range."""
        return (
            f"a pixel of class {value:.0f}: classes run from 0 to {self.size - 1}, and {IGNORED} is unlabeled. Correct "
            "the masks or num_classes."
        )

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy averaged over the ``[B, N, C]`` tokens, summed over the masks."""
        places = classes_of_places(target, self.size, outputs.shape[1], self.tubelet)
        return super().loss(outputs.flatten(0, 1), places.flatten()) / outputs.shape[1]

    def metrics(self) -> dict[str, Metric]:
        """Mean intersection over union of the classes that are there or found."""
        return {"miou": MulticlassJaccardIndex(self.size, ignore_index=-1, validate_args=False)}

    def scored(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and classes of all tokens."""
        places = classes_of_places(target, self.size, outputs.shape[1], self.tubelet)
        return outputs.flatten(0, 1), places.flatten()


class TokenHeads(LinearHeads):
    """The same linear classifier for each token."""

    least = 1

    def forward(self, features: Tensor) -> list[list[Tensor]]:
        """``[B, N, D]`` to ``[B, N, C]``."""
        [found] = super().forward(features.flatten(0, 1))
        return [[each.view(*features.shape[:2], -1) for each in found]]


def classes_of_places(mask: Tensor, classes: int, tokens: int, tubelet: int = 1) -> Tensor:
    """The class that most pixels of each place of a grid have.

    Args:
        mask: int64 ``[B, H, W]``, or ``[B, T, H, W]`` of clips, of classes; any other number, such as 255, is none.
        classes: C.
        tokens: places of the grid, which are taken to be as far apart in both directions of a frame.
        tubelet: frames of a place of a clip.

    Returns:
        int64 ``[B, t * h * w]``, -1 where most pixels have none.

    Raises:
        ValueError: if the places are on no such grid.
    """
    height, width = mask.shape[-2:]
    tubelets = max(1, mask.shape[1] // tubelet) if mask.ndim == 4 else 1  # as one frame may be shown as a tubelet
    rows = max(1, min(round(math.sqrt(tokens / tubelets * height / width)), tokens // tubelets))
    if tokens % (tubelets * rows):
        over = f"{tubelets} times " if mask.ndim == 4 else ""
        raise ValueError(f"{tokens} tokens are on no grid over {over}masks of {height} x {width} pixels.")
    clips = mask if mask.ndim == 4 else mask[:, None]
    # a class out of range would end in a fault of the device before it can be explained
    known = clips.where((clips >= 0) & (clips < classes) & (clips != IGNORED), classes)
    shown = F.one_hot(known, classes + 1).movedim(-1, 1).float()
    grid = (tubelets, rows, tokens // (tubelets * rows))
    found = F.adaptive_avg_pool3d(shown, grid).argmax(dim=1).flatten(1)
    return found.where(found < classes, -1)
