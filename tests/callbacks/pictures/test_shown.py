from types import SimpleNamespace

import pytest
import torch
from torchvision.transforms import v2

from jepa_lightning.callbacks.pictures.shown import colors_of, grid_of, panels_of, token_panels


def module(**attributes):
    return SimpleNamespace(**attributes)


def test_colors_are_those_before_the_pipeline_normalized_them(tiny_ijepa):
    own = tiny_ijepa(mean=[0.1, 0.5, 0.9], std=[0.2, 0.3, 0.4])
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    (view,) = own.pipeline().eval_transform(image)
    assert torch.equal(colors_of(own, view[None])[0], image)


def test_without_statistics_other_ranges_are_stretched():
    zero_to_one = torch.tensor([0.0, 0.5, 1.0]).view(1, 3, 1, 1)
    assert colors_of(module(), zero_to_one).flatten().tolist() == [0, 128, 255]
    assert colors_of(module(), 4 * zero_to_one - 2).flatten().tolist() == [0, 128, 255]
    assert colors_of(module(), torch.full((1, 3, 2, 2), 7.0)).max() == 0


@pytest.mark.parametrize(("channels", "taken"), [(1, [0, 0, 0]), (3, [0, 1, 2]), (13, [0, 1, 2])])
def test_other_channels_than_three_are_shown_too(channels, taken):
    view = torch.linspace(0, 1, channels).view(1, channels, 1, 1)
    expected = (255 * view.flatten()[taken]).round().to(torch.uint8)
    assert torch.equal(colors_of(module(), view).flatten(), expected)


def test_clips_of_any_statistics_keep_their_axes():
    clip = torch.rand(2, 3, 4, 8, 8)
    normalize = v2.Normalize([0.2] * 3, [0.5] * 3)
    seen = normalize(clip.transpose(1, 2)).transpose(1, 2)
    found = colors_of(module(mean=(0.2,) * 3, std=(0.5,) * 3), seen)
    assert torch.equal(found, (255 * clip).round().to(torch.uint8))


def test_the_grid_is_the_networks_own_or_has_the_shape_of_the_image():
    square, wide = torch.zeros(1, 3, 32, 32), torch.zeros(1, 3, 32, 64)
    assert grid_of(module(grid_size=(4, 8)), square, 32) == (1, 4, 8)
    assert grid_of(module(eval_encoder=module(grid_size=(2, 4, 4))), square) == (2, 4, 4)
    assert grid_of(module(grid_size=(4, 4)), wide, 8, module(grid_size=(1, 8))) == (1, 1, 8)
    assert grid_of(module(), square, 16) == (1, 4, 4)
    assert grid_of(module(), wide, 32) == (1, 4, 8)


@pytest.mark.parametrize(
    ("view", "number", "words"),
    [
        (torch.zeros(1, 3, 32, 32), 17, "17 tokens of SimpleNamespace fill a view of 32x32: give the network"),
        (torch.zeros(1, 3, 8, 32, 32), 64, "64 tokens of SimpleNamespace fill a view of 8x32x32"),
        (torch.zeros(1, 3, 32, 32), None, "nothing says how the tokens of SimpleNamespace"),
    ],
)
def test_tokens_of_no_known_grid_are_refused(view, number, words):
    with pytest.raises(ValueError, match=words):
        grid_of(module(), view, number)


def test_frames_and_tokens_of_a_clip_are_of_the_same_times():
    clip = torch.arange(24).view(1, 1, 24, 1, 1).expand(1, 3, 24, 2, 2)
    assert panels_of(clip, 4)[0, :, 0, 0, 0].tolist() == [0, 6, 12, 18]
    assert panels_of(clip, 12)[0, :, 0, 0, 0].tolist() == [0, 2, 6, 8, 12, 14, 18, 20]
    tokens = torch.arange(12 * 6).view(1, 72, 1)
    assert token_panels(tokens, (12, 2, 3)).shape == (1, 8, 1, 2, 3)
    assert token_panels(tokens, (12, 2, 3))[0, :, 0, 0, 0].tolist() == [6 * time for time in (0, 1, 3, 4, 6, 7, 9, 10)]
    assert panels_of(clip[:, :, 0], 1).shape == (1, 1, 3, 2, 2)
