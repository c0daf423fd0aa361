# B batch, C channels, H W height and width, D width
"""What the methods that also look at small, local crops share."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from jepa_lightning.data.augmentation import augmented_pipeline
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.modules.joint_embedding import JointEmbedding
from jepa_lightning.options import ImageSize, NonNegativeInt, ShareRange
from jepa_lightning.types import Batch

LOCAL = ("local_size", "local_crop_scale")


class MultiCrop(JointEmbedding):
    """Base of the methods with two global views and several local ones; ``augmentations`` names both and a local one.

    Args:
        encoder: name of the encoder: a Vision Transformer of this package (``vit_small``), or any of
            ``timm.list_models()`` that takes images of two sizes (``resnet50``).
        num_local: number of local views of an image.
        local_size: height and width of the local views in pixels, or one number for both; None takes 3/7 of the global
            ones', rounded to patches.
        local_crop_scale: smallest and largest area of a local crop, as a share of the image; None takes that of
            ``augment``.
        crop_scale: smallest and largest area of a global crop, as a share of the image; None takes that of ``augment``.
        kwargs: as in ``JointEmbedding``.

    Raises:
        ValueError: if the number of local views is negative.

    Example:
        >>> import torch
        >>> from jepa_lightning import DINO
        >>> module = DINO("vit_tiny", depth=1, image_size=32, patch_size=8, num_local=2, num_prototypes=64)
        >>> views = module.pipeline().transform(torch.zeros(3, 40, 40, dtype=torch.uint8))
        >>> [tuple(view.shape) for view in views]  # two global views, then the local ones
        [(3, 32, 32), (3, 32, 32), (3, 16, 16), (3, 16, 16)]
    """

    def __init__(
        self,
        encoder: str = "vit_small",
        num_local: NonNegativeInt = 8,
        local_size: ImageSize | None = None,
        local_crop_scale: ShareRange | None = None,
        crop_scale: ShareRange | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(encoder, crop_scale=crop_scale, **kwargs)
        self.num_local, self.local_crop_scale = num_local, local_crop_scale
        if local_size is None:
            rows, columns = (max(1, round(side * 3 / 7 / self.patch_size)) for side in self.image_size)
            local_size = (rows * self.patch_size, columns * self.patch_size)
        self.local_size = (local_size, local_size) if isinstance(local_size, int) else local_size

    @classmethod
    def unused_options(cls, options: Mapping[str, Any]) -> dict[str, str]:
        """Beside those of the base: options of local views where ``num_local`` is 0."""
        unused = super().unused_options(options)
        return unused if options["num_local"] else unused | dict.fromkeys(LOCAL, "num_local is 0")

    def pipeline(self) -> Pipeline:
        """Two global views, then the local ones; no masks."""
        *large, small = self.augmentations()
        views = [(self.scaled(augmentation, self.crop_scale), self.image_size) for augmentation in large]
        local = self.scaled(small, self.local_crop_scale, local=True)
        shown = [*views, *[(local, self.local_size)] * self.num_local]
        return augmented_pipeline(shown, self.mean, self.std, normalize=not self.normalize_on_device)

    def multi_crop(self, batch: Batch) -> list[Tensor]:
        """The views of a batch, global ones first.

        Raises:
            ValueError: if they are not two and the local ones.
        """
        views, wanted = batch.views, 2 + self.num_local
        if len(views) != wanted:
            raise ValueError(
                f"{type(self).__name__} takes {wanted} views of an image, 2 global and {self.num_local} local ones, "
                f"got {len(views)}: use the transform of module.pipeline()."
            )
        return views

    def encode_views(self, encoder: nn.Module, views: Sequence[Tensor]) -> list[Tensor]:
        """Pooled features ``[B, D]`` of each view, with one pass for all of a size."""
        features = list(self.features(encoder, torch.cat(list(views[:2]))).chunk(2))
        if local := views[2:]:
            features += self.features(encoder, torch.cat(list(local))).chunk(len(local))
        return features
