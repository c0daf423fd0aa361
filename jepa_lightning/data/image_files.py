"""Image files as a data set."""

from pathlib import Path
from typing import BinaryIO

from PIL import Image, ImageOps

from jepa_lightning.data.media_files import MediaFile, MediaFiles

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class ImageFiles(MediaFiles):
    """Images from files, as RGB."""

    kind = "images"

    def read(self, index: int, file: MediaFile) -> Image.Image:
        """The image of a file."""
        return read_rgb(self.root / file.path)


def read_rgb(source: Path | BinaryIO) -> Image.Image:
    """An image file (its path, or open) as RGB, upright by EXIF, 16-bit grey scaled to 8, transparency on white."""
    with Image.open(source) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):
            # convert() would clip the 16 bits
            image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
