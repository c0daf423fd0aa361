# B batch, C channels, H W height and width
"""Hand-made augmentations of the methods that learn from several views of an image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, overload

import torch
from lightning_utilities.core.rank_zero import rank_zero_warn
from torchvision.transforms import v2

from jepa_lightning.data.blur import SeparableGaussianBlur
from jepa_lightning.data.channels import IMAGENET_MEAN, IMAGENET_STD, ToChannels
from jepa_lightning.data.collate import Collate, Views
from jepa_lightning.data.pipelines import Interpolation, Pipeline, RepeatedView, eval_view, flips, to_tensor
from jepa_lightning.types import Sample

SMALL = 64  # pixels a side, below which a blur leaves nothing to see
Augment = Literal["paper", "small", "crops"]


@dataclass(frozen=True)
class Augmentation:
    """Probabilities and strengths for one view.

    Attributes:
        crop_scale: range of the crop's area over the image's.
        flip: probability of a mirrored view; True is one half.
        jitter: brightness, contrast, saturation and hue, each the largest change; only of images of 3 channels.
        jitter_chance: probability of any of these.
        grayscale: probability of a view without color; only of images of 3 channels.
        blur: probability of a Gaussian blur; views under 64 px have none.
        solarize: probability of inverted bright pixels.
        interpolation: of the resized crop, antialiased.
    """

    crop_scale: tuple[float, float] = (0.08, 1.0)
    flip: bool | float = 0.5
    jitter: tuple[float, float, float, float] = (0.4, 0.4, 0.2, 0.1)
    jitter_chance: float = 0.8
    grayscale: float = 0.2
    blur: float = 0.5
    solarize: float = 0.0
    interpolation: Interpolation = "bilinear"

    def scaled(
        self,
        color: float,
        crop_scale: tuple[float, float] | None,
        flip: bool | float | None,
        interpolation: Interpolation | None = None,
    ) -> "Augmentation":
        """The same with colors changed ``color`` times as much, and other crops, flips and interpolation where given.

        With 0 no view's colors, sharpness or brightness is changed at all.
        """
        brightness, contrast, saturation, hue = (color * strength for strength in self.jitter)
        chances = {name: getattr(self, name) * min(color, 1.0) for name in ("grayscale", "blur", "solarize")}
        return replace(
            self,
            crop_scale=crop_scale or self.crop_scale,
            flip=self.flip if flip is None else flip,
            jitter=(brightness, contrast, saturation, min(hue, 0.5)),
            interpolation=interpolation or self.interpolation,
            **chances,
        )

    def preset(self, name: Augment, local: bool = False) -> "Augmentation":
        """The same for images of a few dozen pixels, where the papers' changes destroy what is seen.

        Args:
            name: ``paper`` changes nothing. ``small`` keeps most of the image in each crop, what is left and what is
                right, the hue, and all color and sharpness, and changes brightness, contrast and saturation by up to a
                fifth. ``crops`` is crops alone.
            local: whether this is a small crop beside whole ones.
        """
        if name == "paper":
            return self
        return replace(
            self,
            crop_scale=(0.3, 0.6) if local else (0.6, 1.0),
            flip=0.0,
            jitter=(0.2, 0.2, 0.2, 0.0) if name == "small" else (0.0, 0.0, 0.0, 0.0),
            grayscale=0.0,
            blur=0.0,
            solarize=0.0,
        )

    def steps(self, image_size: tuple[int, int], channels: int = 3) -> list[Any]:
        """Transforms of an image to one view of it: uint8 with 3 channels, else floats of 0 to 1.

        Args:
            image_size: height and width of the view.
            channels: of the image; color jitter and grayscale are left out where they are not 3.
        """
        mode = v2.InterpolationMode(self.interpolation)
        crop = v2.RandomResizedCrop(image_size, scale=self.crop_scale, interpolation=mode, antialias=True)
        steps: list[Any] = [crop]
        steps += flips(self.flip)
        if any(self.jitter) and channels == 3:
            # PIL changes hues in half of the time that torchvision takes on tensors
            on_pil = [v2.ToPILImage(), v2.ColorJitter(*self.jitter), v2.ToImage()]
            steps.append(v2.RandomApply(on_pil, self.jitter_chance))
        if self.grayscale and channels == 3:
            steps.append(v2.RandomGrayscale(self.grayscale))
        if self.blur and min(image_size) >= SMALL:
            kernel = max(3, min(image_size) // 20 * 2 + 1)  # a tenth of the view, and odd
            steps.append(v2.RandomApply([SeparableGaussianBlur(kernel, (0.1, 2.0))], self.blur))
        if self.solarize:
            steps.append(v2.RandomSolarize(128 if channels == 3 else 0.5, self.solarize))
        return steps


@dataclass(frozen=True)
class SeparateViews:
    """A transform for each view.

    Attributes:
        transforms: one a view.
        read: what they have in common, done once an image.
    """

    transforms: tuple[v2.Transform, ...]
    read: Callable[[Any], Any] | None = None

    takes_samples: ClassVar[bool] = True

    @overload
    def __call__(self, image: Sample) -> Sample: ...
    @overload
    def __call__(self, image: Any) -> Views: ...

    def __call__(self, image: Any) -> Views | Sample:
        """One image to its views; of a ``Sample``, labels of pixels become those of the first view."""
        if isinstance(image, Sample):
            first, *others = self.transforms
            shown: Sample = RepeatedView(first)(image)
            return shown._replace(media=[*shown.media, *(transform(image.media) for transform in others)])
        image = image if self.read is None else self.read(image)
        return [transform(image) for transform in self.transforms]


def augmented_pipeline(
    augmentations: Sequence[tuple[Augmentation, tuple[int, int]]],
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    normalize: bool = True,
) -> Pipeline:
    """The pipeline of the methods that compare views of an image; no masks.

    Args:
        augmentations: for each view, what happens to it and its height and width; the first size is the deterministic
            view's.
        mean: subtracted, per channel, from values in [0, 1]; its length is the number of channels of the images. Color
            jitter and grayscale are left out, with a warning, where it is not 3.
        std: divides the rest.
        normalize: False leaves training views of images of 8 bits as they are, for a module to normalize on its device.
    """
    channels = len(mean)
    if channels != 3 and any(any(augmentation.jitter) or augmentation.grayscale for augmentation, _ in augmentations):
        rank_zero_warn(
            f"color jitter and grayscale are for images of 3 channels and are left out for those of {channels}: give "
            "augmentations without them (color_strength 0 leaves out all changes of color)."
        )
    # thresholds are those of uint8 for pictures; bands of measurements would lose their depth in it
    same_type = v2.ToDtype(torch.uint8 if channels == 3 else torch.float32, scale=True)
    views = [
        to_tensor([same_type, *augmentation.steps(size, channels)], mean, std, normalize=normalize)
        for augmentation, size in augmentations
    ]
    return Pipeline(
        transform=SeparateViews(tuple(views), ToChannels(channels)),
        eval_transform=eval_view(augmentations[0][1], mean, std, augmentations[0][0].interpolation),
        collate=Collate(),
    )
