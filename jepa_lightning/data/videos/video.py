# C channels, T frames, H W height and width
"""What a video is to a transform: frames by their indices, of which none is decoded before it is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from PIL.Image import Image
from torch import Tensor
from torchvision.transforms import v2

from jepa_lightning.data.channels import deep_image


class UnreadableVideoError(Exception):
    """A file that gives no frames, or not those that its index promises."""


class Video(Protocol):
    """What a data set of videos gives: nothing is decoded before ``read``.

    Example:
        >>> import torch
        >>> class Black:  # a video of one's own needs these four
        ...     num_frames, fps, times = 100, 25.0, None
        ...     def read(self, indices):
        ...         return torch.zeros(len(indices), 3, 64, 64, dtype=torch.uint8)
        >>> from jepa_lightning.data import ClipSampler
        >>> indices = ClipSampler(4, fps=5)(Black(), train=False)
        >>> Black().read(indices).shape
        torch.Size([4, 3, 64, 64])
    """

    @property
    def num_frames(self) -> int:
        """How many there are."""
        ...

    @property
    def fps(self) -> float | None:
        """Frames per second, where it is known."""
        ...

    @property
    def times(self) -> Sequence[float] | None:
        """Seconds from the first frame to each, where they are known; a frame rate that varies shows here alone."""
        ...

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at these indices, rising but perhaps repeated: uint8 ``[T, C, H, W]``."""
        ...


@dataclass(frozen=True)
class TensorVideo:
    """Frames in memory.

    Attributes:
        frames: uint8 ``[T, C, H, W]``.
        fps: frames per second, where it is known.
        times: seconds from the first frame to each, where the rate varies.

    Example:
        >>> import torch
        >>> from jepa_lightning.data import TensorVideo
        >>> video = TensorVideo(torch.zeros(30, 3, 8, 8, dtype=torch.uint8), fps=10.0)
        >>> video.num_frames, video.read([0, 9, 9]).shape
        (30, torch.Size([3, 3, 8, 8]))
    """

    frames: Tensor
    fps: float | None = None
    times: Sequence[float] | None = None

    @property
    def num_frames(self) -> int:
        """T."""
        return len(self.frames)

    def read(self, indices: Sequence[int]) -> Tensor:
        """The frames at these indices."""
        return self.frames[list(indices)]


def as_video(sample: Any) -> Video:
    """What a data set gives, as a video: one already, or frames uint8 ``[T, C, H, W]``, or an image of any form.

    Raises:
        TypeError: if it is none of these.
        ValueError: if it is an image of more than 16 bits.
    """
    if isinstance(sample, Image):
        gray = sample.mode in ("1", "L")  # the pipeline knows how many channels it takes
        deep = deep_image(sample)
        sample = v2.functional.pil_to_tensor(sample.convert("L" if gray else "RGB") if deep is None else deep)
    if isinstance(sample, np.ndarray) and sample.ndim in (2, 3):
        sample = v2.functional.to_image(sample)
    if isinstance(sample, Tensor) and sample.ndim in (3, 4):
        return TensorVideo(sample if sample.ndim == 4 else sample[None])
    if not hasattr(sample, "read"):
        raise TypeError(
            f"a model of clips was given {type(sample).__name__} samples, which are neither videos nor images: use a "
            "data set of videos, such as PhysicsVideoDataModule."
        )
    video: Video = sample
    return video
