import pytest
import torch
from PIL import Image

from jepa_lightning.data.videos.video import TensorVideo, as_video


@pytest.mark.parametrize(("mode", "channels"), [("RGB", 3), ("L", 1), ("1", 1), ("CMYK", 3)])
def test_an_image_is_a_video_of_one_frame(mode: str, channels: int) -> None:
    video = as_video(Image.new("RGB", (8, 6), "white").convert(mode))
    assert (video.num_frames, video.fps, video.times) == (1, None, None)
    assert torch.equal(video.read([0, 0]), torch.full((2, channels, 6, 8), 255, dtype=torch.uint8))


def test_tensors_are_frames_or_a_single_one() -> None:
    frames = torch.arange(4 * 3 * 2 * 2, dtype=torch.uint8).reshape(4, 3, 2, 2)
    assert torch.equal(as_video(frames).read([3, 1, 1]), frames[[3, 1, 1]])
    assert torch.equal(as_video(frames[2]).read([0]), frames[[2]])


def test_a_video_is_itself() -> None:
    video = TensorVideo(torch.zeros(4, 3, 2, 2, dtype=torch.uint8), fps=5.0)
    assert as_video(video) is video


def test_other_samples_are_named() -> None:
    with pytest.raises(TypeError, match="a model of clips was given ndarray samples, which are neither videos nor"):
        as_video(torch.zeros(2).numpy())
