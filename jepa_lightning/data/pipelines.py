# C channels, H W height and width
"""What a method must be shown: the transforms of one image, random for training and deterministic for evaluation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, overload

import torch
from torch import Tensor
from torchvision.transforms import v2

from jepa_lightning.data.channels import IMAGENET_MEAN, IMAGENET_STD, ToChannels, check_statistics
from jepa_lightning.data.collate import Collate, Views
from jepa_lightning.data.dense import has_dense, shown_with_labels
from jepa_lightning.masking import MaskSampler
from jepa_lightning.types import Sample

Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Pipeline:
    """What a method must be shown.

    Attributes:
        transform: one image (PIL, a uint8 tensor ``[C, H, W]`` or a uint8 array ``[H, W, C]``) to its training views.
        eval_transform: the deterministic one, for probes, features and validation.
        collate: samples to a Batch.

    Example:
        >>> import torch
        >>> from jepa_lightning.data import Pipeline, eval_view
        >>> view = eval_view((32, 32))
        >>> pipeline = Pipeline(transform=view, eval_transform=view)
        >>> batch = pipeline.collate([pipeline.transform(torch.zeros(3, 48, 64, dtype=torch.uint8))])
        >>> batch.views[0].shape
        torch.Size([1, 3, 32, 32])
    """

    transform: Callable[[Any], Views]
    eval_transform: Callable[[Any], Views]
    collate: Collate = field(default_factory=Collate)


@dataclass(frozen=True)
class RepeatedView:
    """The same transform of an image several times over, with new random numbers each time.

    Args:
        steps: transforms an image.
        number: of views.

    Example:
        >>> import torch
        >>> from torchvision.transforms import v2
        >>> from jepa_lightning.data import RepeatedView
        >>> views = RepeatedView(v2.RandomCrop(8), number=2)(torch.zeros(3, 32, 32))
        >>> [tuple(view.shape) for view in views]
        [(3, 8, 8), (3, 8, 8)]
    """

    steps: v2.Transform
    number: int = 1

    takes_samples: ClassVar[bool] = True

    @overload
    def __call__(self, image: Sample) -> Sample: ...
    @overload
    def __call__(self, image: Any) -> Views: ...

    def __call__(self, image: Any) -> Views | Sample:
        """One image to its views; of a ``Sample``, labels of pixels become those of the first view.

        Raises:
            TypeError: if a sample has extras that are no labels of pixels.
        """
        if not isinstance(image, Sample):
            return [self.steps(image) for _ in range(self.number)]
        if not has_dense(image):
            raise TypeError(
                f"the samples have extras ({', '.join(image.extras or ())}), and a pipeline of images keeps labels of "
                "pixels alone: use a method for clips, such as WorldModel, or data without extras."
            )
        view, extras = shown_with_labels(self.steps, image)
        return image._replace(media=[view, *(self.steps(image.media) for _ in range(self.number - 1))], extras=extras)


def masked_image_pipeline(
    image_size: tuple[int, int],
    masks: MaskSampler,
    crop_scale: tuple[float, float] = (0.3, 1.0),
    flip: bool | float = 0.0,
    num_crops: int = 1,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    interpolation: Interpolation = "bilinear",
    normalize: bool = True,
) -> Pipeline:
    """The pipeline of the methods that need no augmentations: crops, and masks over the token grid.

    Source: I-JEPA (arXiv 2301.08243), appendix A: random resized crops and nothing else.

    Args:
        image_size: height and width of the view.
        masks: draws context and target tokens.
        crop_scale: range of the crop's area over the image's.
        flip: probability of a mirrored view; the paper mirrors none.
        num_crops: views of an image, each with its own masks; the deterministic view is always one.
        mean: subtracted, per channel, from values in [0, 1]; its length is the number of channels of the images.
        std: divides the rest.
        interpolation: of resized images, antialiased.
        normalize: False leaves training views of images of 8 bits as they are, for a module to normalize on its device.
    """
    mode = v2.InterpolationMode(interpolation)
    train: list[v2.Transform] = [v2.RandomResizedCrop(image_size, scale=crop_scale, interpolation=mode, antialias=True)]
    train += flips(flip)
    return Pipeline(
        transform=RepeatedView(to_tensor(train, mean, std, normalize=normalize), num_crops),
        eval_transform=eval_view(image_size, mean, std, interpolation),
        collate=Collate((masks,) * num_crops),
    )


def flips(probability: bool | float) -> list[v2.Transform]:
    """The step that mirrors views with a probability, of which True is one half; no step for 0."""
    if probability is True:
        probability = 0.5
    return [v2.RandomHorizontalFlip(probability)] if probability else []


def eval_view(
    image_size: tuple[int, int],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    interpolation: Interpolation = "bilinear",
) -> RepeatedView:
    """The deterministic view of an image: resized to cover it, cut at the center, and normalized.

    Args:
        image_size: height and width of the view.
        mean: subtracted, per channel, from values in [0, 1].
        std: divides the rest.
        interpolation: of the resized image, antialiased.

    Returns:
        A transform of an image to one float view, ``[C, H, W]``, in a list.
    """
    return RepeatedView(to_tensor(eval_steps(image_size, interpolation=interpolation), mean, std))


def eval_steps(
    image_size: tuple[int, int], place: float = 0.5, interpolation: Interpolation = "bilinear"
) -> list[v2.Transform]:
    """A deterministic view: the shorter side resized to cover it, then a crop along the longer one.

    Args:
        image_size: height and width of the view.
        place: of the crop, from 0 at the left or top to 1; 0.5 is the center.
        interpolation: of the resized image, antialiased.
    """
    return [_CoverCrop(*image_size, place, interpolation)]


@dataclass(frozen=True)
class _CoverCrop:
    """Resizes an image so that it just covers a view, keeping its aspect, and crops; one that fits is left alone."""

    height: int
    width: int
    place: float
    interpolation: Interpolation = "bilinear"

    def __call__(self, image: Tensor, *labels: Tensor) -> Any:
        """One image, and behind it labels of its pixels, which are cut alike."""
        found = self._cut(image, v2.InterpolationMode(self.interpolation), image.shape[-2:])
        nearest = v2.InterpolationMode.NEAREST
        return (found, *(self._cut(each, nearest, image.shape[-2:]) for each in labels)) if labels else found

    def _cut(self, image: Tensor, mode: v2.InterpolationMode, shape: torch.Size) -> Tensor:
        rows, columns = shape
        factor = max(self.height / rows, self.width / columns)
        size = [max(self.height, round(rows * factor)), max(self.width, round(columns * factor))]
        covering: Tensor = v2.functional.resize(image, size, mode, antialias=True)
        rows, columns = size
        top, left = round((rows - self.height) * self.place), round((columns - self.width) * self.place)
        crop: Tensor = v2.functional.crop(covering, top, left, self.height, self.width)
        return crop


def to_tensor(
    steps: Sequence[v2.Transform],
    mean: Sequence[float],
    std: Sequence[float],
    frames: bool = False,
    normalize: bool = True,
) -> v2.Transform:
    """Puts steps on uint8 (faster than float) between reading an image and normalizing it.

    Args:
        steps: of an image ``[C, H, W]``.
        mean: subtracted, per channel, from values in [0, 1]; images must have as many channels.
        std: divides the rest.
        frames: take the frames of a clip, ``[T, C, H, W]``, too.
        normalize: False leaves images of 8 bits as they are.

    Raises:
        ValueError: if mean and std differ in length.
    """
    check_statistics(mean, std)
    end = v2.Compose([v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)])
    last = end if normalize else Unless8Bit(end)
    return v2.Compose([ToChannels(len(mean), frames), *steps, last, v2.ToPureTensor()])


@dataclass(frozen=True)
class Unless8Bit:
    """A step for all images but those of 8 bits, which stay as they are.

    Attributes:
        step: the step.
    """

    step: Callable[[Any], Any]

    def __call__(self, image: Tensor) -> Tensor:
        """One image."""
        return image if image.dtype == torch.uint8 else self.step(image)
