from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning import VJEPA
from jepa_lightning.types import Batch

Build = Callable[..., Any]


@pytest.fixture
def both(tiny_vjepa: Build) -> VJEPA:
    """Of frames that are no squares."""
    model: VJEPA = tiny_vjepa(images=True, image_size=(32, 64), image_blocks=2, image_scale=0.3, flip=0.0)
    return model


def test_an_image_has_the_grid_of_one_frame_and_a_clip_that_of_all(both: VJEPA, tiny_vjepa: Build) -> None:
    image, clip = torch.randn(2, 3, 1, 32, 64), torch.randn(2, 3, 8, 32, 64)
    assert (both.takes_as_image(image), both.takes_as_image(clip)) == (True, False)
    assert (both.grid_of(image), both.grid_of(clip)) == ((1, 4, 8), (4, 4, 8))
    assert both.encode_target(image)[0].shape == (2, 32, 48)
    assert both.encode_target(clip)[0].shape == (2, 128, 48)
    plain = tiny_vjepa(image_size=(32, 64))
    assert not plain.takes_as_image(image)
    assert plain.grid_of(image) == (4, 4, 8)


def rebuilt(model: VJEPA, **options: Any) -> VJEPA:
    return VJEPA(**{**dict(model.hparams), "min_keep": 1, **options})


def batch_of(model: VJEPA, size: int) -> Batch:
    torch.manual_seed(0)
    pipeline = model.image_pipeline()
    return pipeline.collate([pipeline.transform(torch.zeros(3, 80, 80, dtype=torch.uint8)) for _ in range(size)])


def test_masks_of_an_image_are_blocks_of_its_frame(both: VJEPA) -> None:
    batch = batch_of(both, 6)
    assert batch.views[0].shape == (6, 3, 1, 32, 64)
    (masks,) = batch.masks  # one kind, whatever the kinds of clips
    for context, target in zip(masks.context, masks.target, strict=True):
        kept, hidden = {*context.tolist()}, {*target.flatten().tolist()}
        assert kept.isdisjoint(hidden)
        assert kept | hidden <= {*range(32)}
        # two blocks of about 0.3 * 32 = 9.6 tokens, which may overlap
        assert 6 <= len(hidden) <= 24
    number = masks.target.numel()
    for more in ({"image_scale": 0.6}, {"image_blocks": 8}):
        assert batch_of(rebuilt(both, **more), 6).masks[0].target.numel() > number


def test_an_image_is_cropped_mirrored_and_normalized_as_clips_are(tiny_vjepa: Build) -> None:
    options = {"images": True, "image_blocks": 1, "crop_scale": (1.0, 1.0), "mean": [0.5] * 3, "std": [0.25] * 3}
    picture = torch.full((3, 32, 32), 128, dtype=torch.uint8)
    picture[:, :, 0], picture[:, :, -1] = 0, 255  # a crop would lose them
    for flip, left in ((0.0, -2.0), (1.0, 2.0)):
        torch.manual_seed(0)
        view = tiny_vjepa(flip=flip, **options).image_pipeline().transform(picture)
        view = view[0] if isinstance(view, (list, tuple)) else view
        torch.testing.assert_close(view[..., 0].flatten(), torch.full((96,), left))
        torch.testing.assert_close(view[..., -1].flatten(), torch.full((96,), -left))


def test_views_of_another_size_are_refused(both: VJEPA, tiny_vjepa: Build) -> None:
    both.check_size(torch.zeros(2, 3, 1, 32, 64))
    both.check_size(torch.zeros(1, 3, 8, 32, 64))
    for size in ((1, 64, 32), (4, 32, 64), (8, 32, 32)):
        frames = 8 if size[0] == 1 else size[0]
        with pytest.raises(ValueError, match=rf"built for views of 8x32x64, got {frames}x{size[1]}x{size[2]}: use the"):
            both.check_size(torch.zeros(1, 3, *size))
    with pytest.raises(ValueError, match="built for views of 8x32x32, got 1x32x32"):
        tiny_vjepa().check_size(torch.zeros(1, 3, 1, 32, 32))


def test_a_model_of_clips_alone_has_no_pipeline_of_images(tiny_vjepa: Build) -> None:
    model = tiny_vjepa()
    assert model.image_masks == ()
    with pytest.raises(ValueError, match=r"^VJEPA is built for clips alone: set images to True \(--model\.images\)\.$"):
        model.image_pipeline()


def test_a_single_image_and_half_precision(both: VJEPA) -> None:
    batch = batch_of(both, 1)
    output = both.objective(batch, 0.5)
    assert output.loss.isfinite()
    assert both.energy(batch).shape == (1,)
    half = both.bfloat16()
    tokens = half.encode_target(batch.views[0].bfloat16())[0]
    assert (tokens.dtype, tuple(tokens.shape)) == (torch.bfloat16, (1, 32, 48))
