# C channels, T frames, H W height and width
"""Images for a model of clips: clips of a single frame."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jepa_lightning.data.channels import IMAGENET_MEAN, IMAGENET_STD
from jepa_lightning.data.collate import Views
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.videos.clips import ClipSampler, masked_video_pipeline
from jepa_lightning.masking import MaskSampler


@dataclass(frozen=True)
class OneFrame:
    """An image to views ``[C, 1, H, W]`` of it.

    Attributes:
        view: an image to its views ``[C, H, W]``.
    """

    view: Callable[[Any], Views]

    def __call__(self, image: Any) -> Views:
        """PIL image, uint8 tensor ``[C, H, W]`` or uint8 array ``[H, W, C]``."""
        return [each.unsqueeze(1) for each in self.view(image)]


def still_pipeline(
    image_size: tuple[int, int],
    masks: tuple[MaskSampler, ...],
    crop_scale: tuple[float, float] = (0.3, 1.0),
    flip: bool | float = 0.5,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    normalize: bool = True,
) -> Pipeline:
    """The pipeline of the images of V-JEPA 2.1: one crop an image, mirrored or not, as of its clips.

    Source: V-JEPA 2.1 (arXiv 2603.14482).

    Args:
        image_size: height and width.
        masks: one sampler for each kind of mask, of a grid of one frame.
        crop_scale: range of the crop's area over the image's.
        flip: probability of a mirrored image; True is one half.
        mean: subtracted, per channel, from values in [0, 1].
        std: divides the rest.
        normalize: False leaves training views of images of 8 bits as they are, for a module to normalize on its device.
    """
    clips = masked_video_pipeline(
        image_size, ClipSampler(1), masks, crop_scale, flip=flip, mean=mean, std=std, normalize=normalize
    )
    return Pipeline(OneFrame(clips.transform), OneFrame(clips.eval_transform), clips.collate)
