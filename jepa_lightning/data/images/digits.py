# N images, C channels, H W height and width
"""scikit-learn's handwritten digits: 1,797 real images that need no download."""

from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.utils.data import Dataset, Subset
from torchvision.transforms.v2.functional import resize

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.options import OpenShare, PositiveInt, Seed, check_options


class DigitsDataset(Dataset[tuple[Tensor, int, None]]):
    """The digits as uint8 ``[3, H, W]``, with their class and no path.

    The 8x8 originals are enlarged bilinearly: a crop of them would have too few pixels.

    Args:
        image_size: pixels per side.
    """

    def __init__(self, image_size: int = 32) -> None:
        digits = load_digits()
        gray = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8)[:, None]
        self.images = resize(gray, [image_size, image_size], antialias=True)
        self.classes: list[int] = digits.target.tolist()

    def __len__(self) -> int:
        """Number of images."""
        return len(self.classes)

    def __getitem__(self, index: int) -> tuple[Tensor, int, None]:
        """Image, class, and no path."""
        return self.images[index].expand(3, -1, -1), self.classes[index], None


class DigitsDataModule(JEPADataModule):
    """Handwritten digits of scikit-learn, split into training and validation with the classes in proportion.

    Args:
        val_fraction: share of the images for validation.
        image_size: pixels per side, enlarged from 8.
        seed: of the split.
        options: of `JEPADataModule`.

    Example:
        >>> from jepa_lightning.data import DigitsDataModule
        >>> data = DigitsDataModule(val_fraction=0.1)
        >>> data.setup()
        >>> data.num_samples, data.num_classes
        (1617, 10)
    """

    class_names = tuple("0123456789")

    def __init__(
        self, val_fraction: OpenShare = 0.2, image_size: PositiveInt = 32, seed: Seed = 0, **options: Any
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        self.val_fraction = val_fraction
        self.image_size = image_size
        self.seed = seed

    @property
    def num_classes(self) -> int:
        """Ten digits."""
        return len(self.class_names)

    def build_datasets(self) -> tuple[Subset[Any], Subset[Any]]:
        """The split of the images."""
        images = DigitsDataset(self.image_size)
        train, val = train_test_split(
            np.arange(len(images)), test_size=self.val_fraction, random_state=self.seed, stratify=images.classes
        )
        return Subset(images, train.tolist()), Subset(images, val.tolist())
