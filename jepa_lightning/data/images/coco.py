# n boxes of an image
"""A folder of images, and boxes of objects in them in a file of COCO's form."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, Subset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.dense import BOX_CLASSES, BOX_CROWDS, BOXES
from jepa_lightning.data.folder_listing import require_folder
from jepa_lightning.data.images.coco_file import CocoFile, read_coco
from jepa_lightning.data.images.files import ImageFiles
from jepa_lightning.options import OpenShare, Seed, Share, check_options
from jepa_lightning.types import Sample


class BoxedImages(ImageFiles):
    """Image files with boxes.

    Args:
        root: folder that the paths of the images start from.
        source: the file of annotations.
        content: what it says.
        names: of the classes, among which its categories are.
        rows: of boxes that each sample has; those that an image lacks are NaN.
        max_bad_share: greatest share of images that cannot be read; one whose size is not that in the file is one.
    """

    def __init__(
        self, root: Path, source: Path, content: CocoFile, names: Sequence[str], rows: int, max_bad_share: float
    ) -> None:
        super().__init__(root, content.images, (), max_bad_share)
        self.source, self.rows, self.boxes, self.crowds = source, rows, content.boxes, content.crowds
        self.box_classes = torch.tensor([names.index(name) for name in content.categories])[content.classes]

    def paths_of(self, file: Any) -> Sequence[Path]:
        """The image, and the annotations."""
        return self.root / file.path, self.source

    def __getitem__(self, index: int) -> Any:
        """Image and path, with boxes, their classes, and which are crowds; None where it cannot be read."""
        found = super().__getitem__(index)
        if found is None:
            return None
        image, _, path = found
        file = self.files[index]
        if image.size != (file.width, file.height):
            shown = (
                f"{image.width} x {image.height} pixels, and {self.source.name} says {file.width:g} x {file.height:g}"
            )
            self.report(index, ValueError(f"it has {shown}"))
            return None
        part = slice(int(file.first), int(file.end))
        extras = {
            BOXES: self._filled(self.boxes[part], math.nan),
            BOX_CLASSES: self._filled(self.box_classes[part], -1),
            BOX_CROWDS: self._filled(self.crowds[part], False),
        }
        return Sample(image, None, path, extras)

    def _filled(self, values: Tensor, value: float) -> Tensor:
        """Rows of an image, and behind them rows that fill them up."""
        return torch.cat([values, values.new_full((self.rows - len(values), *values.shape[1:]), value)])


class CocoDataModule(JEPADataModule):
    """Images with boxes of objects, which a JSON file of the form of COCO's annotations names.

    Of a file ``images``, ``categories`` and of ``annotations`` ``bbox`` and ``iscrowd`` are read. Boxes are cropped and
    mirrored with the views. An image may have none. Categories are known by their names, so that their ids may differ
    between the two files. Images are unlabeled.

    Args:
        root: folder that the file names of the training images start from.
        train: the file of the training images.
        val: the file of the validation images; without it a share of the others is drawn.
        val_root: folder that the file names of the validation images start from; None is ``root``.
        val_fraction: that share.
        max_bad_share: greatest share of images that cannot be read, or have another size than the file says, and of
            boxes that are empty or not inside of their images; fewer are left out, each with a warning.
        seed: of the draw.
        options: of `JEPADataModule`.

    Attributes:
        box_names: of the categories, in the order of their ids; known after `setup`.

    Raises:
        ValueError: in ``setup``, if a file is not of this form, or a category is for validation alone.
        FileNotFoundError: in ``setup``, if a file, a folder, or an image is missing.

    Example:
        >>> import json, tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from jepa_lightning.data import CocoDataModule
        >>> folder = tempfile.TemporaryDirectory()
        >>> images = [{"id": i, "file_name": f"{i}.png", "width": 64, "height": 48} for i in range(10)]
        >>> for image in images:
        ...     Image.new("RGB", (64, 48)).save(Path(folder.name) / image["file_name"])
        >>> boxes = [{"image_id": 0, "category_id": 7, "bbox": [10, 20, 30, 15]}]
        >>> path = Path(folder.name) / "train.json"
        >>> found = {"images": images, "annotations": boxes, "categories": [{"id": 7, "name": "cat"}]}
        >>> _ = path.write_text(json.dumps(found))
        >>> data = CocoDataModule(folder.name, path)
        >>> data.setup()
        >>> data.box_names, data.num_samples
        (('cat',), 9)
    """

    box_names: tuple[str, ...]

    def __init__(
        self,
        root: str | Path,
        train: str | Path,
        val: str | Path | None = None,
        val_root: str | Path | None = None,
        val_fraction: OpenShare = 0.1,
        max_bad_share: Share = 0.05,
        seed: Seed = 0,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        if self.in_channels is not None:
            raise ValueError("images with boxes are read as RGB: leave in_channels out.")
        if val_root is not None and val is None:
            raise ValueError(f"val_root={val_root} is for a file of validation images: give val too, or leave it out.")
        self.root, self.train = Path(root).expanduser(), Path(train).expanduser()
        self.val = None if val is None else Path(val).expanduser()
        self.val_root = self.root if val_root is None else Path(val_root).expanduser()
        self.val_fraction, self.max_bad_share, self.seed = val_fraction, max_bad_share, seed

    @property
    def num_classes(self) -> int:
        """0, as images have no label."""
        return 0

    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Reads the files, and splits the images of the first one where there is no other.

        Raises:
            ValueError: as of the class.
            FileNotFoundError: as of the class.
        """
        train = read_coco(self.train, self.max_bad_share)
        val = None if self.val is None else read_coco(self.val, self.max_bad_share)
        self.box_names = train.categories
        if val is not None and (unknown := [name for name in val.categories if name not in train.categories]):
            raise ValueError(f"{self.val} has the category {unknown[0]!r}, which {self.train} lacks.")
        rows = max([1, *(int(image.end - image.first) for file in (train, val) if file for image in file.images)])
        trained = self._images(self.root, self.train, train, rows)
        if val is not None and self.val is not None:
            return trained, self._images(self.val_root, self.val, val, rows)
        order = torch.randperm(len(trained), generator=torch.Generator().manual_seed(self.seed))
        held = min(max(1, round(self.val_fraction * len(trained))), len(trained) - 1)
        if held < 1:
            raise ValueError(f"{self.train} has one image, and one is to train on and one to validate on.")
        return Subset(trained, order[held:].sort().values.tolist()), Subset(
            trained, order[:held].sort().values.tolist()
        )

    def _images(self, root: Path, source: Path, content: CocoFile, rows: int) -> BoxedImages:
        """The images of a file.

        Raises:
            ValueError: if it has none.
            FileNotFoundError: if the folder, or an image, is missing.
        """
        require_folder(root)
        if not content.images:
            raise ValueError(f"{source} has no images.")
        lacking = [path for image in content.images if not (path := root / image.path).is_file()]
        if lacking:
            raise FileNotFoundError(
                f"{len(lacking)} of {len(content.images)} images of {source} are missing, such as {lacking[0]}: give "
                "the folder that file names start from."
            )
        return BoxedImages(root, source, content, self.box_names, rows, self.max_bad_share)
