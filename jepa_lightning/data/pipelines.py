# B batch, C channels, H W height and width
"""What a method must be shown: the transform of one image and the collate that makes a Batch of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torchvision.transforms import v2

from jepa_lightning.data.channels import IMAGENET_MEAN, IMAGENET_STD, ToChannels, check_statistics
from jepa_lightning.data.labels import stack_labels
from jepa_lightning.masking import MaskSampler
from jepa_lightning.types import Batch

Views = list[Tensor]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True)
class Collate:
    """Makes a Batch of samples, and draws its masks.

    A sample is an image tensor ``[C, H, W]`` or a list of views of it, alone or with its labels, and with a path as a
    third; so the samples of an ordinary data set whose transform ends in a tensor fit. `stack_labels` says which labels
    there are.
    Masks come from torch's global generator, which in a worker is the worker's own.

    Args:
        masks: one sampler for each set of masks in the batch.
    """

    masks: tuple[MaskSampler, ...] = ()

    def __call__(self, samples: Sequence[Any], sizes: torch.Generator | None = None) -> Batch:
        """Stacks samples into a Batch.

        Args:
            samples: of one batch.
            sizes: where the sizes of masked blocks come from; the same on all ranks gives them equal work.

        Raises:
            TypeError: if a sample is not of the form above.
            ValueError: if a sample has more parts than these, or a third one that is no path; if the views of the
                samples differ in size or number; if labels are not of one kind that is known.
        """
        parts = [_split(sample) for sample in samples]
        views = [views for views, _, _ in parts]
        if len({tuple(view.shape for view in v) for v in views}) > 1:
            shapes = sorted({str([tuple(view.shape) for view in v]) for v in views})
            raise ValueError(
                f"the images of one batch have different sizes, {' and '.join(shapes[:2])}: "
                "give the data set the module's own transform, module.pipeline().transform."
            )
        return Batch(
            views=[torch.stack(view) for view in zip(*views, strict=True)],
            masks=tuple(sampler(len(samples), sizes=sizes) for sampler in self.masks),
            labels=stack_labels([labels for _, labels, _ in parts]),
            paths=tuple(path for _, _, path in parts),
        )


@dataclass(frozen=True)
class Pipeline:
    """What a method must be shown.

    Attributes:
        transform: one image (PIL, a uint8 tensor ``[C, H, W]`` or a uint8 array ``[H, W, C]``) to its training views.
        eval_transform: the same without chance, for probes, features and validation.
        collate: samples to a Batch.
    """

    transform: Callable[[Any], Views]
    eval_transform: Callable[[Any], Views]
    collate: Collate = field(default_factory=Collate)


@dataclass(frozen=True)
class RepeatedView:
    """The same transform of an image several times over, with fresh chance each time."""

    steps: v2.Transform
    number: int = 1

    def __call__(self, image: Any) -> Views:
        """One image to its views."""
        return [self.steps(image) for _ in range(self.number)]


def masked_image_pipeline(
    image_size: tuple[int, int],
    masks: MaskSampler,
    crop_scale: tuple[float, float] = (0.3, 1.0),
    flip: bool | float = 0.0,
    num_crops: int = 1,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    interpolation: Interpolation = "bilinear",
) -> Pipeline:
    """The pipeline of the methods that need no augmentations: crops, and masks over the token grid.

    Source: I-JEPA (arXiv 2301.08243), appendix A: random resized crops and nothing else.

    Args:
        image_size: height and width of the view.
        masks: draws context and target tokens.
        crop_scale: range of the crop's area over the image's.
        flip: probability of a mirrored view; the paper mirrors none.
        num_crops: views of an image, each with masks of its own; the deterministic view is always one.
        mean: subtracted, per channel, from values in [0, 1]; its length is the number of channels of the images.
        std: divides the rest.
        interpolation: of resized images, antialiased.
    """
    mode = v2.InterpolationMode(interpolation)
    train: list[v2.Transform] = [v2.RandomResizedCrop(image_size, scale=crop_scale, interpolation=mode, antialias=True)]
    train += flips(flip)
    return Pipeline(
        transform=RepeatedView(to_tensor(train, mean, std), num_crops),
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
    """The deterministic view of an image."""
    return RepeatedView(to_tensor(eval_steps(image_size, interpolation=interpolation), mean, std))


def eval_steps(
    image_size: tuple[int, int], place: float = 0.5, interpolation: Interpolation = "bilinear"
) -> list[v2.Transform]:
    """A view without chance: the shorter side resized to cover it, then a crop along the longer one.

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

    def __call__(self, image: Tensor) -> Tensor:
        rows, columns = image.shape[-2:]
        factor = max(self.height / rows, self.width / columns)
        size = [max(self.height, round(rows * factor)), max(self.width, round(columns * factor))]
        mode = v2.InterpolationMode(self.interpolation)
        covering: Tensor = v2.functional.resize(image, size, mode, antialias=True)
        rows, columns = size
        top, left = round((rows - self.height) * self.place), round((columns - self.width) * self.place)
        crop: Tensor = v2.functional.crop(covering, top, left, self.height, self.width)
        return crop


def to_tensor(
    steps: Sequence[v2.Transform], mean: Sequence[float], std: Sequence[float], frames: bool = False
) -> v2.Transform:
    """Puts steps on uint8 (faster than float) between reading an image and normalizing it.

    Args:
        steps: of an image ``[C, H, W]``.
        mean: subtracted, per channel, from values in [0, 1]; images must have as many channels.
        std: divides the rest.
        frames: take the frames of a clip, ``[T, C, H, W]``, too.

    Raises:
        ValueError: if mean and std differ in length.
    """
    check_statistics(mean, std)
    return v2.Compose(
        [
            ToChannels(len(mean), frames),
            *steps,
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(mean, std),
            v2.ToPureTensor(),
        ]
    )


def _split(sample: Any) -> tuple[Views, Any, str]:
    """A sample's views, labels and path.

    Raises:
        TypeError: if its image is no tensor and no list of them.
        ValueError: if it has more than these three parts, or a third one that is no path.
    """
    parts = sample if isinstance(sample, tuple) else (sample,)
    views, labels, path = (*parts, None, None)[:3]
    form = ", ".join(type(part).__name__ for part in parts)
    if isinstance(views, Tensor):
        views = [views]
    if not (isinstance(views, list) and views and all(isinstance(view, Tensor) for view in views)):
        raise TypeError(
            f"a sample must be an image tensor or a list of views, alone or with labels, not ({form}): "
            "give the data set the module's own transform, module.pipeline().transform."
        )
    if len(parts) > 3:
        raise ValueError(
            f"a sample has {len(parts)} parts, ({form}), and only (image, labels, path) are used: drop the others in "
            "the data set, or put what is a label into a dict of labels."
        )
    if path is not None and not isinstance(path, (str, Path)):
        raise ValueError(
            f"the third part of a sample is its path, text or None, and is {type(path).__name__} in ({form}): drop it "
            "in the data set, or put what is a label into a dict of labels."
        )
    return views, labels, "" if path is None else str(path)
