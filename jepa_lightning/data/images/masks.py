# H W height and width
"""A folder of images and of masks beside them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from jepa_lightning.data.dense import IGNORED, MASK
from jepa_lightning.data.file_list import FileList
from jepa_lightning.data.file_walk import MediaFile
from jepa_lightning.data.folder import FolderDataModule
from jepa_lightning.data.folder_listing import require_regular
from jepa_lightning.data.images.files import IMAGE_EXTENSIONS, ImageFiles
from jepa_lightning.data.media_files import MediaFiles
from jepa_lightning.options import check_options
from jepa_lightning.types import Sample


class MaskedImages(ImageFiles):
    """Image files, each with a mask.

    Args:
        root: folder that the paths of the images start from.
        files: their paths.
        masks: folder that the paths of the masks start from, which are the same but for the ending ``.png``.
        max_bad_share: greatest share of files that cannot be read; an image whose mask cannot be read is one of them.
    """

    kind = "images"

    def __init__(self, root: Path, files: Sequence[Any], masks: Path, max_bad_share: float) -> None:
        super().__init__(root, files, (), max_bad_share)
        self.masks = masks

    def paths_of(self, file: MediaFile) -> Sequence[Path]:
        """The image and its mask."""
        return self.root / file.path, (self.masks / file.path).with_suffix(".png")

    def __getitem__(self, index: int) -> Any:
        """Image and path, with the mask int64 ``[H, W]`` as the extra ``mask``; None where one cannot be read."""
        found = super().__getitem__(index)
        if found is None:
            return None
        file = self.files[index]
        try:
            mask = read_mask(self.paths_of(file)[1])
            if mask.shape != (found[0].height, found[0].width):
                height, width = mask.shape
                raise ValueError(
                    f"its mask has {width} x {height} pixels, and the image {found[0].width} x {found[0].height}"
                )
        except (OSError, ValueError) as error:
            self.report(index, error)
            return None
        return Sample(found[0], None, found[2], {MASK: mask})


def read_mask(path: Path) -> Tensor:
    """Classes of pixels, int64 ``[H, W]``, from a file of gray values or of places in a palette.

    Raises:
        ValueError: if it has colors, or deeper values than a byte.
        OSError: if it cannot be read.
    """
    require_regular(path)
    with Image.open(path) as file:
        if file.mode not in ("L", "P", "1"):
            raise ValueError(
                f"its mask {path.name} has PIL's mode {file.mode}: masks hold the number of a class for each pixel, in "
                f"the modes L or P, and {IGNORED} where there is none"
            )
        values = np.asarray(file)
    return torch.from_numpy(values.astype(np.int64))


class MaskFolderDataModule(FolderDataModule):
    """Images with a mask each: ``images/train/*`` and ``images/val/*``, and ``masks/train/*`` and ``masks/val/*``.

    A mask has the path of its image, with the ending ``.png``, and for each pixel the number of a class, gray or by a
    palette, 255 where there is none. Without ``train`` a share of the images validates, as in ``FolderDataModule``.
    For ADE20K link ``images/training`` and ``annotations/training`` to these names. Unlabeled images are for
    ``ImageFolderDataModule``.

    Args:
        root: the folder that holds ``images`` and ``masks``.
        mask_names: names of the classes of the masks, in the order of their numbers; None takes as many as are met.
        options: of ``FilesDataModule``.

    Raises:
        FileNotFoundError: in ``setup``, if one of the folders, or a mask, is missing.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from jepa_lightning.data import MaskFolderDataModule
        >>> folder = tempfile.TemporaryDirectory()
        >>> for kind, mode in (("images", "RGB"), ("masks", "L")):
        ...     (Path(folder.name) / kind).mkdir()
        ...     for number in range(10):
        ...         Image.new(mode, (64, 48)).save(Path(folder.name) / kind / f"{number}.png")
        >>> data = MaskFolderDataModule(folder.name, mask_names=["background", "cat"])
        >>> data.setup()
        >>> data.train_set[0].extras["mask"].shape
        torch.Size([48, 64])
    """

    extensions: Sequence[str] = IMAGE_EXTENSIONS
    files: ClassVar = MaskedImages

    def __init__(self, root: str | Path, mask_names: Sequence[str] | None = None, **options: Any) -> None:
        check_options(type(self), locals())
        if mask_names is not None and not mask_names:
            raise ValueError("mask_names is empty: give the name of each class of the masks, or leave it out.")
        super().__init__(Path(root).expanduser() / "images", **options)
        if self.in_channels is not None:
            raise ValueError("images with masks are read as RGB: leave in_channels out.")
        self.mask_names, self.masks = mask_names, self.root.parent / "masks"

    def file_set(self, files: Sequence[MediaFile]) -> MediaFiles:
        """The data set of images and masks.

        Raises:
            FileNotFoundError: if there is an image without a mask.
        """
        plain = FileList([MediaFile(file.path, None) for file in files])
        found = MaskedImages(self.root, plain, self.masks, self.max_bad_share)
        lacking = [mask for file in files if not (mask := found.paths_of(file)[1]).is_file()]
        if lacking:
            raise FileNotFoundError(
                f"{len(lacking)} of {len(files)} images have no mask, such as {lacking[0]}: give each image one of its "
                "name, with the ending .png."
            )
        return found
