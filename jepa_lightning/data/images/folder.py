"""Any folder of images."""

from typing import ClassVar

from jepa_lightning.data.folder import FolderDataModule
from jepa_lightning.data.images.files import IMAGE_EXTENSIONS, ImageFiles


class ImageFolderDataModule(FolderDataModule):
    """A folder of images: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or images without labels.

    For ImageNet unpack its archives to ``train/CLASS`` and ``val/CLASS``. Options, and how folders are read, are those
    of ``FolderDataModule``.

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

    extensions = IMAGE_EXTENSIONS
    files: ClassVar = ImageFiles
