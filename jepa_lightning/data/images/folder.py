"""Any folder of images."""

from typing import ClassVar

from jepa_lightning.data.folder import FolderDataModule
from jepa_lightning.data.images.files import IMAGE_EXTENSIONS, ImageFiles


class ImageFolderDataModule(FolderDataModule):
    """A folder of images: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or images without labels.

    For ImageNet unpack its archives to ``train/CLASS`` and ``val/CLASS``. Options, and how folders are read, are those
    of ``FolderDataModule``.
    """

    extensions = IMAGE_EXTENSIONS
    files: ClassVar = ImageFiles
