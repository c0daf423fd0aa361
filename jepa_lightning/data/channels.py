# C channels, T frames, H W height and width
"""What data sets give, as images with the channels that a pipeline takes."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import PIL.Image
import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ToChannels:
    """One image to a tensor ``[C, H, W]`` with a given number of channels: uint8, or float32 of 0 to 1.

    Images are PIL images, tensors ``[C, H, W]`` or ``[H, W]``, or arrays ``[H, W, C]`` or ``[H, W]``. Where 3 channels
    are wanted a gray image is repeated, and a PIL image of any mode is converted to RGB. Values are uint8 of 0 to 255,
    uint16 of 0 to 65535 (PIL's modes I;16 and I too), which become floats, or floats of 0 to 1.

    Attributes:
        channels: C.
        frames: take the frames of a clip, ``[T, C, H, W]``, too.
    """

    channels: int
    frames: bool = False

    def __call__(self, image: Any, *labels: Tensor) -> Any:
        """One image; labels of its pixels stay as they are, behind it.

        Raises:
            ValueError: if it is no image, has another number of channels, or has values of another range.
        """
        if hasattr(image, "num_frames") or (not self.frames and getattr(image, "ndim", 0) == 4):
            raise ValueError(
                f"this method takes images and was given a video ({type(image).__name__}): use a data set of images, "
                "such as ImageFolderDataModule, or a method for clips, such as VJEPA."
            )
        if not isinstance(image, (Tensor, np.ndarray, PIL.Image.Image)) or getattr(image, "ndim", 2) < 2:
            raise ValueError(
                f"a pipeline takes PIL images, tensors [C, H, W] and arrays [H, W, C], and was given {_shown(image)}."
            )
        if isinstance(image, PIL.Image.Image):
            image = self._converted(image)
        tensor = _in_range(v2.functional.to_image(image))
        if self.channels == 3 and tensor.shape[-3] == 1:
            tensor = tensor.expand(*tensor.shape[:-3], 3, -1, -1)
        if tensor.shape[-3] != self.channels:
            raise ValueError(
                f"an image has {tensor.shape[-3]} channels {list(tensor.shape)}, and the pipeline's mean and std have "
                f"{self.channels}: give it as many of them, or convert the images in the data set."
            )
        found = tv_tensors.Image(tensor)
        return (found, *labels) if labels else found

    def _converted(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """The image in a mode whose bands are its channels."""
        if (deep := deep_image(image)) is not None:
            return deep
        if self.channels == 3:
            return image.convert("RGB")
        if image.mode == "P":  # one band of places in a palette
            return image.convert("RGBA" if self.channels == 4 else "RGB")
        return image.convert("L") if image.mode == "1" else image


def deep_image(image: PIL.Image.Image) -> PIL.Image.Image | None:
    """An image of 16 bits or of floats, which RGB would cut to 255; None for other images.

    Args:
        image: of any mode.

    Raises:
        ValueError: if it is of mode I and has values that 16 bits do not hold.
    """
    if image.mode == "F" or image.mode.startswith("I;16"):
        return image
    if image.mode != "I":
        return None
    if not 0 <= (range_ := image.getextrema())[0] <= range_[1] < 2**16:  # type: ignore[operator]
        raise ValueError(
            f"an image of PIL's mode I has values from {range_[0]} to {range_[1]}, and 16 bit hold 0 to 65535: "
            "convert it in the data set."
        )
    return PIL.Image.fromarray(np.asarray(image).astype(np.uint16))


def _in_range(image: Tensor) -> Tensor:
    """Values as uint8, or as floats of 0 to 1.

    Raises:
        ValueError: if their range is not known, or is another one.
    """
    if image.dtype == torch.uint8:
        return image
    if image.dtype == torch.uint16:
        return image.float() / 65535
    if not image.is_floating_point():
        raise ValueError(
            f"the range of an image of {str(image.dtype).removeprefix('torch.')} is not known: give uint8, uint16, or "
            "floats of 0 to 1."
        )
    low, high = (float(value) for value in image.aminmax())
    # resizing may overshoot a little; pixels of 0 to 255 and normalized ones go far beyond
    if not (low >= -0.1 and high <= 1.1):
        raise ValueError(
            f"a float image must have values of 0 to 1, and one has {low:.3g} to {high:.3g}: divide by the largest "
            "possible value, or give uint8; the pipeline normalizes by itself."
        )
    return image.float()


def default_statistics(channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of each channel where none are given: ImageNet's for 3 channels, 0.5 for others."""
    return (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else ((0.5,) * channels, (0.5,) * channels)


def check_statistics(mean: Any, std: Any) -> None:
    """Refuses statistics of different numbers of channels.

    Raises:
        ValueError: if they are, or if there are none.
    """
    if len(mean) != len(std) or not len(mean):
        raise ValueError(f"mean has {len(mean)} channels and std {len(std)}: give both one number for each channel.")


def _shown(image: Any) -> str:
    shape = getattr(image, "shape", None)
    return f"{type(image).__name__}{'' if shape is None else f' of shape {list(shape)}'}"
