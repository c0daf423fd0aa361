# B batch, C channels, T frames, H W height and width
"""Images of any form, as a module takes them."""

from typing import Any

import torch
from torch import Tensor

from jepa_lightning.data.pipelines import Pipeline


def preprocess(pipeline: Pipeline, images: Any, axes: int) -> Tensor:
    """The deterministic views of some images.

    Args:
        pipeline: of a module.
        images: one image or several, as ``JEPAModule.preprocess`` takes them.
        axes: of one image as a tensor or an array; what has more is a batch.

    Returns:
        ``[B, C, H, W]`` or ``[B, C, T, H, W]``.

    Raises:
        ValueError: if there are no images, or if the pipeline shows each in several views.
    """
    several = isinstance(images, (list, tuple)) or getattr(images, "ndim", 0) > axes
    views = [pipeline.eval_transform(image) for image in (images if several else [images])]
    if not views:
        raise ValueError("there is no image to preprocess.")
    if len(views[0]) != 1:
        raise ValueError(
            f"each video is shown in {len(views[0])} views, whose features predict averages: set eval_clips and "
            "eval_crops to 1, or use predict."
        )
    return torch.stack([view for (view,) in views])
