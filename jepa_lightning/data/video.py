# C channels, T frames, H W height and width
"""Clips out of videos: which frames, and how they are shown."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torchvision.transforms import v2

from jepa_lightning.data.pipelines import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Collate,
    Pipeline,
    Views,
    eval_steps,
    to_tensor,
)
from jepa_lightning.masking import MaskSampler


class Video(Protocol):
    """What a data set of videos gives: nothing is decoded before ``read``."""

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


@dataclass(frozen=True)
class ClipSampler:
    """Which frames of a video make a clip.

    A clip starts anywhere in training, and in the middle of what is left in evaluation. A video that is too short ends
    in its last frame again and again.

    Attributes:
        num_frames: T.
        step: frames of the video from one to the next, or
        fps: frames per second of the clip, whatever the video's; needs videos that know theirs.
    """

    num_frames: int
    step: int = 1
    fps: float | None = None

    def __post_init__(self) -> None:
        """Refuses what is no clip.

        Raises:
            ValueError: if there is no frame, or no way from one to the next.
        """
        if self.num_frames < 1 or self.step < 1 or (self.fps is not None and self.fps <= 0):
            raise ValueError(
                f"a clip of num_frames={self.num_frames}, {self.step} apart or at fps={self.fps}: all must be above 0."
            )

    def __call__(self, video: Video, train: bool) -> list[int]:
        """Indices of the frames.

        Raises:
            ValueError: if the video does not know its frames per second, and is asked for some.
        """
        last = video.num_frames - 1
        if self.fps is None:
            spare = max(0, last - (self.num_frames - 1) * self.step)
            start = min(int(_start(spare, 1, train)), spare)
            return [min(start + i * self.step, last) for i in range(self.num_frames)]
        if last == 0:
            return [0] * self.num_frames
        times = video.times
        if times is None:
            if not video.fps:
                raise ValueError(f"fps={self.fps} is asked of a video that has no frame rate: give a step instead.")
            times = [i / video.fps for i in range(video.num_frames)]
        room = max(0.0, times[-1] - (self.num_frames - 1) / self.fps)
        begin = min(_start(room, times[-1] / last, train), room)
        # each moment shows the frame that came last
        return [bisect_right(times, begin + i / self.fps + 1e-6) - 1 for i in range(self.num_frames)]


def _start(spare: float, gap: float, train: bool) -> float:
    """Where a clip begins, up to ``gap`` beyond ``spare``: the last place is as likely as any other."""
    return (spare + gap) * (torch.rand(()).item() if train else 0.5)


@dataclass(frozen=True)
class ClipView:
    """One video to one clip ``[C, T, H, W]``; every frame has the same crop.

    Attributes:
        sampler: chooses the frames.
        steps: what happens to them, uint8 ``[T, C, H, W]``.
        train: choose by chance.
    """

    sampler: ClipSampler
    steps: v2.Transform
    train: bool

    def __call__(self, video: Any) -> Views:
        """A ``Video``, or frames uint8 ``[T, C, H, W]``, to its view."""
        source = TensorVideo(video) if isinstance(video, Tensor) and video.ndim == 4 else video
        if not hasattr(source, "read"):
            raise TypeError(
                f"a model of clips was given {type(video).__name__} samples, which are no videos: use a data set of "
                "videos, such as PhysicsVideoDataModule, or build the model with num_frames=1 for images."
            )
        frames: Tensor = self.steps(source.read(self.sampler(source, self.train)))
        return [frames.transpose(0, 1).contiguous()]


def masked_video_pipeline(
    image_size: tuple[int, int],
    sampler: ClipSampler,
    masks: tuple[MaskSampler, ...],
    crop_scale: tuple[float, float] = (0.3, 1.0),
    crop_ratio: tuple[float, float] = (0.75, 1.35),
    flip: bool = True,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
) -> Pipeline:
    """The pipeline of V-JEPA: one crop a clip, mirrored or not, and masks of several kinds.

    Source: V-JEPA (arXiv 2404.08471), appendix.

    Args:
        image_size: height and width of the frames.
        sampler: chooses the frames.
        masks: one sampler for each kind of mask.
        crop_scale: range of the crop's area over the frame's.
        crop_ratio: range of its width over its height.
        flip: mirror half of the clips.
        mean: subtracted, per channel, from values in [0, 1].
        std: divides the rest.
    """
    train: list[v2.Transform] = [v2.RandomResizedCrop(image_size, scale=crop_scale, ratio=crop_ratio, antialias=True)]
    if flip:
        train.append(v2.RandomHorizontalFlip())
    return Pipeline(
        transform=ClipView(sampler, to_tensor(train, mean, std), train=True),
        eval_transform=ClipView(sampler, to_tensor(eval_steps(image_size), mean, std), train=False),
        collate=Collate(masks),
    )
