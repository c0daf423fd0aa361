import pytest
import torch

from jepa_lightning.nn import VisionTransformer, patchify


@pytest.mark.parametrize(("channels", "height", "width", "patch"), [(3, 4, 6, 2), (1, 6, 3, 3), (2, 5, 5, 1)])
def test_equals_a_slow_loop_over_patches(channels: int, height: int, width: int, patch: int) -> None:
    images = torch.randn(2, channels, height, width)
    rows, columns = height // patch, width // patch
    slow = torch.empty(2, rows * columns, patch * patch * channels)
    for image, patches in zip(images, slow, strict=True):
        for row in range(rows):
            for column in range(columns):
                values = [
                    image[channel, row * patch + y, column * patch + x]
                    for y in range(patch)
                    for x in range(patch)
                    for channel in range(channels)
                ]
                patches[row * columns + column] = torch.stack(values)
    assert torch.equal(patchify(images, patch), slow)


def test_patches_are_in_the_order_of_the_encoders_tokens() -> None:
    torch.manual_seed(0)
    embed = VisionTransformer((16, 24), patch_size=8, width=12, depth=1, heads=3).patch_embed
    images = torch.randn(2, 3, 16, 24)
    weights = embed.proj.weight.permute(0, 2, 3, 1).flatten(1)  # channels last, as in a patch
    torch.testing.assert_close(patchify(images, 8) @ weights.T + embed.proj.bias, embed(images), atol=1e-5, rtol=1e-5)


def test_what_is_left_over_is_in_no_patch() -> None:
    images = torch.randn(2, 3, 28, 20)
    assert torch.equal(patchify(images, 8), patchify(images[:, :, :24, :16], 8))
