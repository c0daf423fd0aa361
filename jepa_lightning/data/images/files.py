"""Image files as a data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps

from jepa_lightning.data.file_walk import MediaFile
from jepa_lightning.data.folder_listing import require_regular
from jepa_lightning.data.media_files import MediaFiles

IMAGE_EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class ImageFiles(MediaFiles):
    """Images from files, as RGB.

    Args:
        root: as in ``MediaFiles``, and so are the next three.
        files: paths and classes.
        classes: names of the classes.
        max_bad_share: greatest share of files that cannot be read.
        min_side: as in ``read_rgb``.
    """

    kind = "images"

    def __init__(
        self,
        root: Path,
        files: Sequence[Any],
        classes: Sequence[str],
        max_bad_share: float = 0.05,
        min_side: int | None = None,
    ) -> None:
        super().__init__(root, files, classes, max_bad_share)
        self.min_side = min_side

    def read(self, index: int, file: MediaFile) -> Image.Image:
        """The image of a file."""
        return read_rgb(self.root / file.path, self.min_side)


def read_rgb(source: Path | BinaryIO, min_side: int | None = None) -> Image.Image:
    """An image file (its path, or open) as RGB, upright by EXIF, transparency on white, deeper values scaled to 8 bits.

    16-bit values are divided by 257. Floats, and integers of 32 bits, tell their scale by their values: floats up to 1
    are shares of white, values up to 255 are taken as they are, and values up to 65535 are of 16 bits.

    Args:
        source: the file.
        min_side: decode a JPEG file at the smallest of 1/8, 1/4, 1/2 and 1 of its size that leaves its shorter side at
            least this many pixels; None decodes it whole.

    Raises:
        ValueError: if values are below 0, above 65535 or not finite.
        MemoryError: if the image does not fit into the memory, with its size.
        OSError: if the file cannot be read, or is not a regular file.
    """
    if isinstance(source, Path):
        require_regular(source)
    with Image.open(source) as file:
        if min_side is not None:
            file.draft(None, (min_side, min_side))  # keeps the mode; for other formats nothing
        try:
            return _rgb(file)
        except MemoryError as error:
            width, height = file.size
            raise MemoryError(
                f"its {width} x {height} pixels need {4e-9 * width * height:.1f} GB, more memory than there is"
            ) from error


def _rgb(file: Image.Image) -> Image.Image:
    image = ImageOps.exif_transpose(file)
    if image.mode == "F" or image.mode.startswith("I"):
        image = _eight_bits(image, file.format)
    if "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def _eight_bits(image: Image.Image, source: str | None) -> Image.Image:
    """A gray image of deeper values as mode L; convert() alone would cut them."""
    values = image if image.mode == "F" else image.convert("I")
    array = np.asarray(values)
    low, high = array.min().item(), array.max().item()
    if not (low >= 0 and high <= 65535):  # also where one of them is NaN
        raise ValueError(f"its values go from {low:g} to {high:g}, and a scale is known for 0 to 1, 255 or 65535.")
    if image.mode.startswith("I;16") or source == "PNG" or high > 255:  # some versions of Pillow open 16-bit PNG as I
        scale = 1 / 257
    else:
        scale = 255.0 if image.mode == "F" and high <= 1 else 1.0
    return values.point(lambda value: value * scale).convert("L")
