from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from jepa_lightning.data import eval_view
from jepa_lightning.data.videos.stills import OneFrame, still_pipeline
from jepa_lightning.masking import MultiBlock3DMask

MASKS = (MultiBlock3DMask((1, 4, 4), num_blocks=2, min_keep=2), MultiBlock3DMask((1, 4, 4), num_blocks=1, min_keep=2))


def image(size: tuple[int, int] = (40, 56), channels: int = 3) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (channels, *size), dtype=torch.uint8, generator=generator)


def test_each_view_is_a_clip_of_one_frame() -> None:
    views = OneFrame(lambda x: [x, x + 1])(torch.zeros(3, 4, 5))
    assert [view.shape for view in views] == [(3, 1, 4, 5)] * 2
    assert [float(view.mean()) for view in views] == [0, 1]
    assert OneFrame(lambda x: [])(None) == []


def test_every_form_of_an_image_is_shown_alike_and_as_an_encoder_of_images_is_shown_it() -> None:
    show, x = still_pipeline((32, 32), MASKS).eval_transform, image()
    array = x.permute(1, 2, 0).numpy()
    forms: list[Any] = [x, array, Image.fromarray(array)]
    [first], [second], [third] = (show(form) for form in forms)
    assert first.shape == (3, 1, 32, 32)
    assert torch.equal(first, second)
    torch.testing.assert_close(first, third, atol=0.02, rtol=0)  # PIL rounds after each step
    torch.testing.assert_close(first[:, 0], eval_view((32, 32))(x)[0], atol=0.02, rtol=0)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_images_of_more_than_8_bits_keep_their_values(kind: type) -> None:
    ramp = np.linspace(0, 1, 32 * 32).reshape(32, 32) * (1 if kind is np.float32 else 65535)
    deep = Image.fromarray(ramp.astype(kind))
    [view] = still_pipeline((32, 32), MASKS).eval_transform(deep)
    torch.testing.assert_close(view[:, 0], eval_view((32, 32))(deep)[0])


def test_a_batch_has_masks_of_each_kind_on_the_grid_of_one_frame() -> None:
    pipeline = still_pipeline((32, 32), MASKS)
    batch = pipeline.collate([pipeline.transform(image()) for _ in range(3)])
    assert batch.views[0].shape == (3, 3, 1, 32, 32)
    assert [kind.target.shape[1] for kind in batch.masks] == [1, 1]
    assert all(int(kind.target.max()) < 16 and int(kind.context.max()) < 16 for kind in batch.masks)


@pytest.mark.parametrize("flip", [0.0, 1.0])
def test_the_crop_and_the_mirror_are_those_asked_for(flip: float) -> None:
    ramp = torch.arange(64, dtype=torch.uint8).expand(3, 64, 64).contiguous()
    pipeline = still_pipeline((64, 64), MASKS, crop_scale=(1.0, 1.0), flip=flip, normalize=False)
    torch.manual_seed(0)
    [view] = pipeline.transform(ramp)
    assert view.dtype == torch.uint8  # for a module to normalize on its device
    steps = view[0, 0].int().diff(dim=1)
    assert (steps <= 0).all() if flip else (steps >= 0).all()


def test_mean_and_std_are_those_of_the_data_for_any_number_of_channels() -> None:
    gray = np.full((40, 40), 51, np.uint8)
    pipeline = still_pipeline((32, 32), MASKS, mean=(0.1,), std=(0.5,))
    for show in (pipeline.transform, pipeline.eval_transform):
        [view] = show(torch.from_numpy(gray)[None])
        torch.testing.assert_close(view, torch.full((1, 1, 32, 32), 0.2))
