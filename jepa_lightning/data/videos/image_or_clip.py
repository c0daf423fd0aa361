# C channels, T frames, H W height and width
"""Images as images and videos as clips, as the data have them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, overload

from torch import Tensor

from jepa_lightning.data.collate import Views
from jepa_lightning.data.videos.clips import ClipView
from jepa_lightning.types import Sample


@dataclass(frozen=True)
class ImageOrClipView:
    """The view of an image ``[C, H, W]``, which other pipelines of clips take for a video of one frame, or of a video.

    Attributes:
        image: what happens to images.
        clip: what happens to videos.

    Example:
        >>> import torch
        >>> from torchvision.transforms import v2
        >>> from jepa_lightning.data import ClipSampler, eval_view
        >>> from jepa_lightning.data.videos.clips import ClipView
        >>> from jepa_lightning.data.videos.image_or_clip import ImageOrClipView
        >>> clip = ClipView(ClipSampler(4), (v2.Resize((8, 8)),), train=False)
        >>> view = ImageOrClipView(eval_view((8, 8)), clip)
        >>> view(torch.zeros(3, 16, 16, dtype=torch.uint8))[0].shape
        torch.Size([3, 8, 8])
        >>> view(torch.zeros(6, 3, 16, 16, dtype=torch.uint8))[0].shape
        torch.Size([3, 4, 8, 8])
    """

    image: Callable[[Any], Any]
    clip: ClipView

    takes_samples: ClassVar[bool] = True

    @overload
    def __call__(self, media: Sample) -> Sample: ...
    @overload
    def __call__(self, media: Any) -> Views: ...

    def __call__(self, media: Any) -> Views | Sample:
        """An image or a video, or a sample of one, to its views."""
        shown = media.media if isinstance(media, Sample) else media
        is_video = shown.ndim == 4 if isinstance(shown, Tensor) else hasattr(shown, "num_frames")
        found: Views | Sample = (self.clip if is_video else self.image)(media)
        return found
