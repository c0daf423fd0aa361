"""Image files as a data set: finding them, reading them as RGB, and keeping account of those that cannot be read."""

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image, ImageOps
from torch.utils.data import Dataset

EXTENSIONS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")


class ImageFile(NamedTuple):
    """Path relative to the root, and name of the class or None."""

    path: str
    label: str | None


class ImageFiles(Dataset[tuple[Image.Image, int | None, str] | None]):
    """Images from files, each with the index of its class and its path relative to the root.

    A file that cannot be read is None, from then on in all processes, and named in a warning.

    Args:
        root: folder that the paths start from.
        files: paths and classes.
        classes: names of the classes, in the order of their indices.
        max_bad_share: greatest share of files that cannot be read.
    """

    def __init__(
        self, root: Path, files: Sequence[ImageFile], classes: Sequence[str], max_bad_share: float = 0.05
    ) -> None:
        self.root = root
        self.files = files
        self.classes = {name: i for i, name in enumerate(classes)}
        self.max_bad_share = max_bad_share
        self.bad = torch.zeros(len(files), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """Number of files, readable or not."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Image.Image, int | None, str] | None:
        """Image, class and path, or None.

        Raises:
            RuntimeError: if too many of the files cannot be read.
        """
        path, label = self.files[index]
        if self.bad[index]:
            return None
        try:
            image = read_rgb(self.root / path)
        except Exception as error:  # what a decoder raises on damaged bytes is anyone's guess
            self._report(index, error)
            return None
        return image, None if label is None else self.classes[label], path

    def _report(self, index: int, error: Exception) -> None:
        warnings.warn(f"cannot read {self.root / self.files[index].path}, left out: {error}", stacklevel=3)
        self.bad[index] = True
        bad = self.bad.nonzero().flatten().tolist()
        if len(bad) > self.max_bad_share * len(self):
            names = ", ".join(self.files[i].path for i in bad[:3])
            raise RuntimeError(
                f"{len(bad)} of {len(self)} images in {self.root} cannot be read, more than max_bad_share "
                f"{self.max_bad_share:g} allows: {names}{', ...' if len(bad) > 3 else ''}"
            )


def find_images(root: Path, folder: Path) -> list[ImageFile]:
    """The image files below a folder in the order of their paths, labelled by the folder's subfolders.

    Args:
        root: paths are relative to this.
        folder: where to look; where images lie in itself, none is labelled.

    Raises:
        FileNotFoundError: if it is missing or without images.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}.")
    files = sorted(_walk(root, folder), key=lambda file: file.path)
    if not files:
        raise FileNotFoundError(f"there are no images in {folder}: looked for {', '.join(EXTENSIONS)}.")
    loose = [file.path for file in files if file.label is None]
    if not loose:
        return files
    if len(loose) < len(files):
        warnings.warn(f"{root / loose[0]} lies beside folders, not in one: all images are unlabelled.", stacklevel=2)
    return [ImageFile(file.path, None) for file in files]


def _walk(root: Path, folder: Path) -> Iterator[ImageFile]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(parent).relative_to(folder).parts
        prefix = "".join(f"{part}/" for part in Path(parent).relative_to(root).parts)
        for name in names:
            if name.lower().endswith(EXTENSIONS) and not name.startswith("."):
                yield ImageFile(prefix + name, inside[0] if inside else None)


def read_rgb(path: Path) -> Image.Image:
    """An image file as RGB, upright by its EXIF orientation, 16-bit grey scaled to 8, transparency on white."""
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):
            # convert() would clip the 16 bits
            image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
        if "A" in image.getbands() or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
