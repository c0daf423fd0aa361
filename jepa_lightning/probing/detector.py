# B batch, D width, h w of the grid, H W height and width of a view, n boxes
"""torchvision's Faster R-CNN on maps of tokens."""

from collections.abc import Sequence
from math import ceil
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import AnchorGenerator

from jepa_lightning.nn.simple_pyramid import MULTIPLE, SimplePyramid

TOKEN = 16  # pixels of a token as the detector counts them: levels are then 4, 8, 16, 32 and 64 apart
ANCHORS = (32, 64, 128, 256, 512)  # pixels of the sides, one a level
POOLED = 7  # places along each side of a region

Boxes = dict[str, Tensor]


class Detector(nn.Module):
    """Faster R-CNN on a simple feature pyramid of frozen tokens, which a norm without weights brings to one scale.

    Proposals, matching, losses and suppression are torchvision's. Whatever the size of a patch, a token counts as 16
    pixels, so that anchors and levels are those of ViTDet (arXiv 2203.16527).

    Args:
        width: D.
        classes: number of classes.
        channels: of the maps of the pyramid.
        hidden: width of the two layers that judge a region.
        regions: that are judged of each image in training.
        proposals: of each image.

    Example:
        >>> import torch
        >>> from jepa_lightning.probing.detector import Detector
        >>> detector = Detector(width=48, classes=3, channels=16, hidden=32).eval()
        >>> with torch.no_grad():
        ...     [found] = detector(torch.randn(1, 48, 4, 4), (32, 32))
        >>> sorted(found)
        ['boxes', 'labels', 'scores']
    """

    def __init__(
        self,
        width: int,
        classes: int,
        channels: int = 256,
        hidden: int = 1024,
        regions: int = 512,
        proposals: int = 1000,
    ) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(width, eps=1e-6, affine=False)
        self.pyramid = SimplePyramid(width, channels)
        parts = FasterRCNN(
            self.pyramid,
            rpn_anchor_generator=AnchorGenerator(tuple((size,) for size in ANCHORS), ((0.5, 1.0, 2.0),) * len(ANCHORS)),
            box_head=TwoMLPHead(channels * POOLED**2, hidden),
            box_predictor=FastRCNNPredictor(hidden, classes + 1),
            rpn_pre_nms_top_n_train=2 * proposals,
            rpn_post_nms_top_n_train=2 * proposals,
            rpn_pre_nms_top_n_test=proposals,
            rpn_post_nms_top_n_test=proposals,
            box_batch_size_per_image=regions,
        )
        self.rpn, self.roi_heads = parts.rpn, parts.roi_heads

    def forward(self, maps: Tensor, size: Sequence[int], targets: Sequence[Boxes] | None = None) -> Any:
        """Boxes of views, or, in training, losses.

        Args:
            maps: ``[B, D, h, w]``.
            size: H and W of the views.
            targets: of each view ``boxes`` ``[n, 4]``, left, top, right and bottom in pixels, and ``labels`` ``[n]``
                from 0; for training.

        Returns:
            Of each view ``boxes``, ``labels`` and ``scores`` of at most 100 boxes; in training losses by name.
        """
        rows, columns = maps.shape[2:]
        shape = rows * TOKEN, columns * TOKEN
        unit = maps.new_tensor([shape[1] / size[1], shape[0] / size[0]] * 2)
        margin = [ceil(side / MULTIPLE) * MULTIPLE - side for side in (rows, columns)]
        padded = F.pad(self.norm(maps), (0, margin[1], 0, margin[0]))
        levels = self.pyramid(padded)
        # of the images torchvision asks for the sizes alone
        canvas = maps.new_empty(()).expand(len(maps), 1, padded.shape[2] * TOKEN, padded.shape[3] * TOKEN)
        images = ImageList(canvas, [shape] * len(maps))
        scaled = targets and [{"boxes": each["boxes"] * unit, "labels": each["labels"] + 1} for each in targets]
        proposals, of_proposals = self.rpn(images, levels, scaled)
        found, of_boxes = self.roi_heads(levels, proposals, images.image_sizes, scaled)
        if self.training:
            return {**of_proposals, **of_boxes}
        return [{**each, "boxes": each["boxes"] / unit, "labels": each["labels"] - 1} for each in found]
