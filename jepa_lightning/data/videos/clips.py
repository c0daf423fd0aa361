# C channels, T frames, H W height and width
"""Clips out of videos: which frames, and how they are shown."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, overload

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from jepa_lightning.data.channels import IMAGENET_MEAN, IMAGENET_STD
from jepa_lightning.data.collate import Collate, Views
from jepa_lightning.data.dense import DENSE, MASK
from jepa_lightning.data.extras import follow_frames
from jepa_lightning.data.pipelines import Pipeline, eval_steps, flips, to_tensor
from jepa_lightning.data.videos.video import Video, as_video
from jepa_lightning.masking import MaskSampler
from jepa_lightning.types import Sample


@dataclass(frozen=True)
class ClipSampler:
    """Which frames of a video make a clip.

    A clip starts anywhere in training, and at a given place in evaluation. A video that is too short ends in its last
    frame again and again, and so does an image, which is one of a single frame.

    Attributes:
        num_frames: T.
        step: frames of the video from one to the next, or
        fps: frames per second of the clip, whatever the video's; needs videos that know theirs.

    Example:
        >>> import torch
        >>> from jepa_lightning.data import ClipSampler, TensorVideo
        >>> video = TensorVideo(torch.zeros(30, 3, 8, 8, dtype=torch.uint8), fps=10.0)
        >>> ClipSampler(4, fps=5)(video, train=False)  # in the middle
        [12, 14, 16, 18]
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

    def __call__(self, video: Video, train: bool, place: float = 0.5) -> list[int]:
        """Indices of the frames.

        Args:
            video: where they are from.
            train: start at random.
            place: where to start otherwise, from 0 to 1 of the places that there are.

        Raises:
            ValueError: if the video does not know its frames per second, and is asked for some.
        """
        last = video.num_frames - 1
        if train:
            place = torch.rand(()).item()
        if self.fps is None:
            spare = max(0, last - (self.num_frames - 1) * self.step)
            start = min(int((spare + 1) * place), spare)
            return [min(start + i * self.step, last) for i in range(self.num_frames)]
        if last == 0:
            return [0] * self.num_frames
        times = video.times
        if times is None:
            if not video.fps:
                raise ValueError(
                    f"fps={self.fps:g} is asked of a video without a frame rate: give a step between frames instead "
                    "(frame_step of VJEPA), or, for folders of frames, their rate (frames_fps of the DataModule)."
                )
            times = [i / video.fps for i in range(video.num_frames)]
        room = max(0.0, times[-1] - (self.num_frames - 1) / self.fps)
        # up to a frame beyond, so that the last place is as likely as any other
        begin = min((room + times[-1] / last) * place, room)
        # each moment shows the frame that came last
        return [bisect_right(times, begin + i / self.fps + 1e-6) - 1 for i in range(self.num_frames)]


@dataclass(frozen=True)
class ClipView:
    """One video to views ``[C, T, H, W]`` of it, or ``[C, H, W]`` with one frame; all frames of one have the same crop.

    The extras of a ``Sample`` follow the frames that were chosen.

    Attributes:
        sampler: chooses the frames.
        crops: what happens to them, uint8 ``[T, C, H, W]``; each gives a view of each clip.
        train: choose at random.
        clips: how many there are, spread over the video.
    """

    sampler: ClipSampler
    crops: tuple[v2.Transform, ...]
    train: bool
    clips: int = 1

    takes_samples: ClassVar[bool] = True

    @overload
    def __call__(self, video: Sample) -> Sample: ...
    @overload
    def __call__(self, video: Any) -> Views: ...

    def __call__(self, video: Any) -> Views | Sample:
        """A ``Video``, frames uint8 ``[T, C, H, W]``, or an image, which stands still, to its views.

        Raises:
            ValueError: if a ``Sample`` with extras is to have several clips.
        """
        sample = video if isinstance(video, Sample) else None
        source = as_video(video if sample is None else sample.media)
        if sample is not None and not {*DENSE}.isdisjoint(sample.extras or {}):
            return self._with_mask(source, sample)
        frames = [self.sampler(source, self.train, (clip + 0.5) / self.clips) for clip in range(self.clips)]
        views = [crop(clip).transpose(0, 1).contiguous() for clip in map(source.read, frames) for crop in self.crops]
        views = [view.squeeze(1) for view in views] if self.sampler.num_frames == 1 else views
        if sample is None:
            return views
        if sample.extras and len(frames) > 1:
            raise ValueError(
                f"the extras ({', '.join(sample.extras)}) belong to one clip, and {len(frames)} are made of each "
                "sample: set eval_clips to 1."
            )
        return sample._replace(media=views, extras=follow_frames(sample.extras or {}, frames[0], source.num_frames))

    def _with_mask(self, source: Video, sample: Sample) -> Sample:
        """One clip of a video with masks ``[T, H, W]``, which follow its frames and its crop.

        Raises:
            ValueError: if there are other extras beside, labels are those of an image, or there are several views.
        """
        extras = sample.extras or {}
        mask = torch.as_tensor(extras[MASK]) if set(extras) == {MASK} else None
        if mask is None or mask.ndim != 3:
            raise ValueError(
                f"a method of clips takes masks of the frames of videos, and the samples have {', '.join(extras)} of "
                "images: use a method of images, or data without them, such as ShapesDataModule with dense: false."
            )
        if self.clips > 1 or len(self.crops) > 1:
            raise ValueError(
                f"masks of frames belong to one view of a video, and there are {self.clips * len(self.crops)} views: "
                "set eval_clips and eval_crops to 1."
            )
        frames = self.sampler(source, self.train)
        clip, mask = self.crops[0](source.read(frames), tv_tensors.Mask(mask[frames]))
        view, plain = clip.transpose(0, 1).contiguous(), mask.as_subclass(Tensor)
        if len(frames) == 1:  # an image and its mask
            view, plain = view.squeeze(1), plain.squeeze(0)
        return sample._replace(media=[view], extras={MASK: plain})


def masked_video_pipeline(
    image_size: tuple[int, int],
    sampler: ClipSampler,
    masks: tuple[MaskSampler, ...],
    crop_scale: tuple[float, float] = (0.3, 1.0),
    crop_ratio: tuple[float, float] = (0.75, 1.35),
    flip: bool | float = 0.5,
    mean: Sequence[float] = IMAGENET_MEAN,
    std: Sequence[float] = IMAGENET_STD,
    eval_clips: int = 1,
    eval_crops: int = 1,
    normalize: bool = True,
) -> Pipeline:
    """The pipeline of V-JEPA: one crop a clip, mirrored or not, and masks of several kinds.

    Source: V-JEPA (arXiv 2404.08471), appendix.

    Args:
        image_size: height and width of the frames.
        sampler: chooses the frames.
        masks: one sampler for each kind of mask.
        crop_scale: range of the crop's area over the frame's.
        crop_ratio: range of its width over its height.
        flip: probability of a mirrored clip; True is one half.
        mean: subtracted, per channel, from values in [0, 1]; its length is the number of channels of the frames.
        std: divides the rest.
        eval_clips: clips of a video in evaluation, spread over its length.
        eval_crops: views of each, spread over the longer side of the frame; one is in the middle.
        normalize: False leaves training views of clips of 8 bits as they are, for a module to normalize on its device.
    """
    train: list[v2.Transform] = [v2.RandomResizedCrop(image_size, scale=crop_scale, ratio=crop_ratio, antialias=True)]
    train += flips(flip)
    places = [crop / (eval_crops - 1) for crop in range(eval_crops)] if eval_crops > 1 else [0.5]
    crops = tuple(to_tensor(eval_steps(image_size, place), mean, std, frames=True) for place in places)
    return Pipeline(
        transform=ClipView(sampler, (to_tensor(train, mean, std, frames=True, normalize=normalize),), train=True),
        eval_transform=ClipView(sampler, crops, train=False, clips=eval_clips),
        collate=Collate(masks),
    )
