# C channels, P pages, H W height and width
"""Images of any number of channels, with their values: arrays in ``.npy`` files, TIFF files, and others as they are."""

import importlib.util
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor

from jepa_lightning.data.file_walk import MediaFile
from jepa_lightning.data.folder_listing import require_regular
from jepa_lightning.data.images.files import read_rgb
from jepa_lightning.data.media_files import MediaFiles

TIFF_EXTENSIONS = (".tif", ".tiff")
MAX_BYTES = 2**30  # of the values of one image
TYPE_RANGES = {"uint8": 255.0, "uint16": 65535.0}  # the value of white by dtype, unless ``max_value`` is given
GRAY, RGB = 1, 2  # of TIFF's photometric interpretations those whose values are what they seem
# as the transforms ask for: resizing may have overshot a little
LOWEST, HIGHEST = -0.1, 1.1


class BandFiles(MediaFiles):
    """Images of a given number of channels from files.

    Args:
        root: folder that the paths start from.
        files: paths and classes.
        classes: names of the classes, in the order of their indices.
        max_bad_share: greatest share of files that cannot be read.
        channels: C.
        max_value: of ``.npy`` and TIFF files, see ``read_bands``.

    Raises:
        ImportError: if there are TIFF files that need tifffile, which is not installed.
    """

    kind = "images"

    def __init__(
        self,
        root: Path,
        files: Sequence[Any],
        classes: Sequence[str],
        max_bad_share: float = 0.05,
        channels: int = 3,
        max_value: float | None = None,
    ) -> None:
        super().__init__(root, files, classes, max_bad_share)
        self.channels, self.max_value = channels, max_value
        if channels != 3 and any(file.path.lower().endswith(TIFF_EXTENSIONS) for file in files):
            _require_tifffile()

    def read(self, index: int, file: MediaFile) -> Image.Image | Tensor:
        """The image of a file."""
        return read_bands(self.root / file.path, self.channels, self.max_value)


def read_bands(path: Path, channels: int, max_value: float | None = None) -> Image.Image | Tensor:
    """An image file with all its channels.

    Arrays in ``.npy`` files are ``[C, H, W]``, ``[H, W, C]``, or ``[H, W]`` for one channel: the axis that is as long
    as there are channels is theirs, and an array of which both the first and the last are that long is refused. In TIFF
    files channels are the samples of a pixel, or pages of one size. Values become 0 to 1 without regard to those of
    this image, so that images keep their relation: uint8 is divided by 255 and uint16 by 65535, floats are taken as
    they are, and ``max_value`` divides any of them instead. Files of other kinds are read as Pillow has them; RGB ones,
    for three channels, as ``read_rgb`` does.

    Args:
        path: of the file.
        channels: C.
        max_value: the value that becomes 1, for ``.npy`` and TIFF files.

    Returns:
        ``[C, H, W]``, uint8 or float32 of 0 to 1; or a PIL image.

    Raises:
        ValueError: if it has other channels, if their axis is not known, if its values are of another type or range, or
            if they take more than 1 GiB.
        OSError: if the file cannot be read, or is not a regular file.
        ImportError: if it is a TIFF file, and tifffile is not installed.
    """
    require_regular(path)
    ending = path.suffix.lower()
    if ending == ".npy":
        return _scaled(_channels_first(_array(path), channels), max_value)
    if ending in TIFF_EXTENSIONS and (channels != 3 or max_value is not None or not _has_one_page(path)):
        return _scaled(_tiff(path, channels), max_value)
    if channels == 3:
        return read_rgb(path)
    with Image.open(path) as file:
        image = ImageOps.exif_transpose(file)
    bands = 4 if image.mode == "P" and channels == 4 else 3 if image.mode == "P" else len(image.getbands())
    if bands != channels:
        raise ValueError(f"it has {bands} channels ({image.mode}), and in_channels is {channels}")
    return image


def _array(path: Path) -> np.ndarray[Any, Any]:
    """The array of a file, whose values stay on disk."""
    array = np.load(path, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("it is an archive of arrays (.npz), not one array")
    _check_size(array.shape, array.dtype)
    return array


def _channels_first(array: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    """An array of a known number of channels as ``[C, H, W]``."""
    if array.ndim == 2 and channels == 1:
        return array[None]
    first, last = (array.shape[axis] == channels if array.ndim == 3 else False for axis in (0, -1))
    if first and last:
        raise ValueError(
            f"its shape {array.shape} has {channels} channels on the first axis or on the last one: images of this "
            "height or width must be cropped or saved as TIFF"
        )
    if not first and not last:
        raise ValueError(
            f"its shape {array.shape} is neither [C, H, W] nor [H, W, C] with in_channels={channels} channels"
        )
    return array if first else np.moveaxis(array, -1, 0)


def _tiff(path: Path, channels: int) -> np.ndarray[Any, Any]:
    """The first images of one size in a TIFF file, as ``[C, H, W]``."""
    _require_tifffile()
    import tifffile

    with tifffile.TiffFile(path) as file:
        series = file.series[0]
        if (kind := file.pages.first.photometric) not in (GRAY, RGB):
            raise ValueError(f"its values stand for colors in another way than gray or RGB ({kind.name})")
        others = [length for axis, length in zip(series.axes, series.shape, strict=True) if axis not in "YX"]
        found = math.prod(others)
        if found != channels or sum(length > 1 for length in others) > 1 or series.ndim - len(others) != 2:
            raise ValueError(
                f"it has {' x '.join(map(str, others)) or 1} channels or pages (axes {series.axes} of lengths "
                f"{series.shape}), and in_channels is {channels}"
            )
        _check_size(series.shape, series.dtype)
        places = tuple(series.axes.index(axis) for axis in "YX")
        values = np.moveaxis(np.asarray(series.asarray()), places, (-2, -1))
    return values.reshape(channels, *values.shape[-2:])


def _has_one_page(path: Path) -> bool:
    with Image.open(path) as file:
        return bool(getattr(file, "n_frames", 1) == 1)


def _check_size(shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Refuses what would fill the memory, before it does."""
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_BYTES:
        raise ValueError(f"its shape {tuple(shape)} of {dtype} takes {size / 2**30:.1f} GiB, more than 1")


def _scaled(array: np.ndarray[Any, Any], max_value: float | None) -> Tensor:
    """Values as uint8, or as floats of 0 to 1."""
    if array.dtype.kind not in "uif":
        raise ValueError(f"its values are of the type {array.dtype}, and images are of integers or floats")
    if array.dtype == np.uint8 and max_value is None:
        return torch.from_numpy(np.array(array, order="C"))
    known = 1.0 if array.dtype.kind == "f" else TYPE_RANGES.get(array.dtype.name)
    if (top := known if max_value is None else max_value) is None:
        raise ValueError(f"its values are {array.dtype}, whose range is not known: set max_value (--data.max_value)")
    values = torch.from_numpy(np.array(array, dtype=np.float32, order="C")) / top
    low, high = (value.item() for value in values.aminmax())
    if not (low >= LOWEST and high <= HIGHEST):  # also where one is NaN
        raise ValueError(
            f"its values go from {low * top:g} to {high * top:g}, which is not 0 to {top:g}: set max_value to the "
            "largest value that there can be (--data.max_value), and replace those that are not finite or negative"
        )
    return values


def _require_tifffile() -> None:
    if importlib.util.find_spec("tifffile") is None:
        raise ImportError("reading the channels of TIFF files needs tifffile: pip install 'jepa_lightning[bands]'.")
