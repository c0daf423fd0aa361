from pathlib import Path

import pytest
import torch
from PIL import Image
from torchvision.transforms import v2

from jepa_lightning.data import ClipSampler, PhysicsVideoDataset, ShapesDataset, TensorVideo, eval_view
from jepa_lightning.data.videos.clips import ClipView
from jepa_lightning.data.videos.image_or_clip import ImageOrClipView
from jepa_lightning.types import Sample

FRAMES = torch.arange(6 * 3 * 8 * 8).reshape(6, 3, 8, 8).to(torch.uint8)


@pytest.fixture
def view() -> ImageOrClipView:
    return ImageOrClipView(eval_view((8, 8)), ClipView(ClipSampler(4), (v2.Identity(),), train=False))


def test_videos_are_clips_and_images_are_images(view: ImageOrClipView, tmp_path: Path) -> None:
    for video in (FRAMES, TensorVideo(FRAMES)):
        [clip] = view(video)
        assert torch.equal(clip, FRAMES[1:5].transpose(0, 1)), "from the middle"
    for image in (FRAMES[0], Image.new("RGB", (8, 8)), FRAMES[0].permute(1, 2, 0).numpy()):
        [found] = view(image)
        assert found.shape == (3, 8, 8)


def test_labels_of_pixels_follow_both(view: ImageOrClipView) -> None:
    clip = PhysicsVideoDataset(1, num_frames=6, image_size=8, dense=True)[0]
    found = view(clip)
    assert isinstance(found, Sample)
    assert torch.equal(found.extras["mask"], clip.extras["mask"][1:5])
    image = ShapesDataset(1, image_size=8, dense=True)[0]
    found = view(image)
    assert isinstance(found, Sample)
    assert torch.equal(found.extras["mask"], image.extras["mask"])


def test_a_single_frame_has_the_mask_of_an_image() -> None:
    clip = PhysicsVideoDataset(1, num_frames=5, image_size=8, dense=True)[0]
    found = ClipView(ClipSampler(1), (v2.Identity(),), train=False)(clip)
    assert isinstance(found, Sample)
    assert (found.media[0].shape, found.extras["mask"].shape) == ((3, 8, 8), (8, 8))
    assert torch.equal(found.extras["mask"], clip.extras["mask"][2])
