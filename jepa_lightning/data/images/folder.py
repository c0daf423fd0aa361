"""Any folder of images."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from jepa_lightning.data.file_walk import MediaFile
from jepa_lightning.data.folder import FolderDataModule
from jepa_lightning.data.images.bands import BandFiles
from jepa_lightning.data.images.files import IMAGE_EXTENSIONS, ImageFiles
from jepa_lightning.data.media_files import MediaFiles
from jepa_lightning.options import PositiveFloat, PositiveInt, check_options


class ImageFolderDataModule(FolderDataModule):
    """A folder of images: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or images without labels.

    For ImageNet unpack its archives to ``train/CLASS`` and ``val/CLASS``. How folders are read is
    ``FolderDataModule``'s.

    Images are read as RGB. With ``in_channels`` all their channels are read, and that many they must have: of TIFF
    files, whose channels may be pages (which needs the extra ``bands``), and of ``.npy`` files, arrays ``[C, H, W]``,
    ``[H, W, C]``, or ``[H, W]`` for one channel. Values become 0 to 1 by their type, not by those of an image
    (``data.images.bands.read_bands``), and ``mean`` and ``std`` are of these.

    Args:
        root: the folder.
        max_value: the value in ``.npy`` and TIFF files that becomes 1, such as 10000 for reflectances of Sentinel-2;
            None divides uint8 by 255 and uint16 by 65535, and takes floats as they are.
        min_side: decode JPEG files at 1/8, 1/4 or 1/2 of their size where that leaves the shorter side at least this
            many pixels, in a fraction of the time; None decodes them whole. A view of S pixels that shows a share c of
            an image, at least, has all the pixels that it can show from S / sqrt(c): 410 for 224 and .3. Views differ a
            little from those of whole images.
        options: of ``FilesDataModule``.

    Raises:
        ValueError: if ``max_value`` is given without ``in_channels``, or ``min_side`` with it.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from jepa_lightning.data import ImageFolderDataModule
        >>> folder = tempfile.TemporaryDirectory()
        >>> for name in ("cat", "dog"):
        ...     (Path(folder.name) / name).mkdir()
        ...     for number in range(10):
        ...         Image.new("RGB", (64, 48)).save(Path(folder.name) / name / f"{number}.png")
        >>> data = ImageFolderDataModule(folder.name, val_fraction=0.2)
        >>> data.setup()
        >>> data.class_names, data.num_samples
        (('cat', 'dog'), 16)
    """

    extensions: Sequence[str] = IMAGE_EXTENSIONS
    files: ClassVar = ImageFiles

    def __init__(
        self,
        root: str | Path,
        max_value: PositiveFloat | None = None,
        min_side: PositiveInt | None = None,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(root, **options)
        if max_value is not None and self.in_channels is None:
            raise ValueError(
                f"max_value={max_value:g} is for files that are read with all their channels: give in_channels too."
            )
        if min_side is not None and self.in_channels is not None:
            raise ValueError(
                f"min_side={min_side} is for files that are read as RGB: leave it out, or leave out in_channels."
            )
        self.max_value, self.min_side = max_value, min_side
        if self.in_channels is not None:
            self.extensions = (*IMAGE_EXTENSIONS, ".npy")

    def file_set(self, files: Sequence[MediaFile]) -> MediaFiles:
        """The data set of files, as RGB or with the channels that were asked for."""
        if self.in_channels is None:
            scaled = {} if self.min_side is None else {"min_side": self.min_side}
            return self.files(self.root, files, self.class_names, self.max_bad_share, **scaled)
        return BandFiles(
            self.root, files, self.class_names, self.max_bad_share, channels=self.in_channels, max_value=self.max_value
        )
