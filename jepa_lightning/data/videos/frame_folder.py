# T frames, H W height and width
"""Folders of image files as videos, of which only the frames that are asked for are decoded."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from jepa_lightning.data.folder_listing import contents
from jepa_lightning.data.images.files import IMAGE_EXTENSIONS, read_rgb
from jepa_lightning.data.videos.video import UnreadableVideoError

FRAME_EXTENSIONS = tuple(extension for extension in IMAGE_EXTENSIONS if extension != ".gif")  # which is a video itself


class FrameFolder:
    """The image files of a folder as the frames of a video, in the natural order of their names (2 before 10).

    Hidden files, and files with other endings, are not frames.

    Args:
        folder: holds the frames.
        fps: frames per second, where they are known.

    Attributes:
        times: None; the frames have no times.

    Raises:
        UnreadableVideoError: if the folder holds no frames, or two whose names differ only in their endings.
    """

    times: Sequence[float] | None = None

    def __init__(self, folder: Path, fps: float | None = None) -> None:
        self.folder, self._fps = folder, fps
        try:
            names = [entry.name for entry in contents(folder)[1] if entry.name.lower().endswith(FRAME_EXTENSIONS)]
        except ValueError as error:  # the folder is missing, or cannot be listed
            raise UnreadableVideoError(str(error)) from error
        if not names:
            raise UnreadableVideoError(f"it holds no frames: looked for {', '.join(FRAME_EXTENSIONS)}.")
        stem, count = Counter(Path(name).stem for name in names).most_common(1)[0]
        if count > 1:  # such as an image and its mask
            raise UnreadableVideoError(f"it holds {count} frames of the name {stem!r}, with different endings.")
        self._names = sorted(names, key=_natural)

    @property
    def num_frames(self) -> int:
        """How many there are."""
        return len(self._names)

    @property
    def fps(self) -> float | None:
        """Frames per second, where they are known."""
        return self._fps

    def read(self, indices: Sequence[int]) -> Tensor:
        """Decodes frames.

        Args:
            indices: in any order, perhaps repeated.

        Returns:
            uint8 ``[T, 3, H, W]``.

        Raises:
            UnreadableVideoError: if one of them cannot be decoded, or if they differ in size.
        """
        frames = {index: self._frame(self._names[index]) for index in set(indices)}
        if len({frame.shape for frame in frames.values()}) > 1:
            raise UnreadableVideoError("its frames differ in size.")
        return torch.stack([frames[index] for index in indices])

    def _frame(self, name: str) -> Tensor:
        try:
            frame: Tensor = pil_to_tensor(read_rgb(self.folder / name))
        except Exception as error:  # decoders raise errors of any type on damaged bytes
            raise UnreadableVideoError(f"frame {name}: {error}") from error
        return frame


def _natural(name: str) -> tuple[list[str | int], str]:
    """Sorts numbers within names by their values."""
    parts = re.split(r"([0-9]+)", Path(name).stem)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
