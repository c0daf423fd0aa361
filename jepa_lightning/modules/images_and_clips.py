# B batch, C channels, T H W frames, height, width
"""Batches of images beside batches of clips, for one model of both.

Source: V-JEPA 2.1 (arXiv 2603.14482).
"""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.videos.stills import still_pipeline
from jepa_lightning.masking.clip_masks import clip_masks
from jepa_lightning.masking.sampler import MaskSampler
from jepa_lightning.modules.latent_prediction import LatentPrediction
from jepa_lightning.nn import is_image
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.options import ImageSize, PositiveFloat, PositiveInt, PositiveShare


class ImagesAndClips(LatentPrediction):
    """What a predictor of clips does with images, where it is asked to take them: views ``[B, C, 1, H, W]``.

    A subclass sets ``num_frames`` and ``flip``, and calls ``draw_image_masks`` when its networks are built.

    Args:
        encoder: as in ``LatentPrediction``.
        image_size: as in ``LatentPrediction``.
        patch_size: as in ``LatentPrediction``.
        images: have a patch embedding and a modality embedding for images, beside those of clips. Batches of images
            ``[B, C, 1, H, W]`` take turns with those of clips (``MixedDataModule``).
        image_blocks: number of blocks in the mask of an image.
        image_scale: area of such a block as a share of the image.
        image_weight: weight of the loss of a batch of images; that of clips has 1.
        kwargs: as in ``LatentPrediction``.
    """

    num_frames: int
    flip: bool | float

    def __init__(
        self,
        encoder: Encoder,
        image_size: ImageSize,
        patch_size: PositiveInt,
        images: bool = False,
        image_blocks: PositiveInt = 10,
        image_scale: PositiveShare = 0.15,
        image_weight: PositiveFloat = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, image_size, patch_size, **kwargs)
        self.images, self.image_blocks, self.image_scale = images, image_blocks, image_scale
        self.image_weight = image_weight
        self.image_masks: tuple[MaskSampler, ...] = ()

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: what is of images, where there are none."""
        unused, of_images = super().unused_options(options), ("image_blocks", "image_scale", "image_weight")
        return unused if options["images"] else unused | dict.fromkeys(of_images, "images is False")

    def draw_image_masks(self, **options: Any) -> None:
        """Says how images are masked.

        Args:
            options: of ``MultiBlock3DMask``.
        """
        if self.images:
            grid = (1, *self.grid_size[-2:])
            self.image_masks = clip_masks(grid, (self.image_blocks,), (self.image_scale,), **options)

    def image_pipeline(self) -> Pipeline:
        """Cropped and mirrored images of one frame, with masks of one kind.

        Raises:
            ValueError: if there is no embedding for images.
        """
        if not self.images:
            raise ValueError(f"{type(self).__name__} is built for clips alone: set images to True (--model.images).")
        return still_pipeline(
            self.image_size,
            self.image_masks,
            self.crop_scale,
            flip=self.flip,
            mean=self.mean,
            std=self.std,
            normalize=not self.normalize_on_device,
        )

    def takes_as_image(self, view: Tensor) -> bool:
        """Whether a view is one of images, with an embedding of their own; for others an image is a still clip."""
        return self.images and is_image(view)

    def grid_of(self, view: Tensor) -> tuple[int, ...]:
        """Tokens along each axis of the grid of a view; an image has those of one frame."""
        return (1, *self.grid_size[-2:]) if self.takes_as_image(view) else self.grid_size

    def check_size(self, view: Tensor) -> None:
        """Refuses a view that the masks are not for; one of images is as large as the frames of clips."""
        super().check_size(view.expand(-1, -1, self.num_frames, -1, -1) if self.takes_as_image(view) else view)
