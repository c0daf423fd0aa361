import math

import pytest
import torch
from torch import nn

from jepa_lightning.nn import ConvPatchEmbed, VisionTransformer
from jepa_lightning.nn.patch_embed import PatchEmbed, PatchEmbedding


def test_pixels_of_one_patch_change_its_token_alone() -> None:
    torch.manual_seed(0)
    embed, images = ConvPatchEmbed((4, 4), 3, 8), torch.rand(2, 3, 12, 8)
    before = embed(images)
    assert before.shape == (2, 6, 8)
    images[1, :, 4:8, 4:8] += torch.rand(3, 4, 4)  # row 1, column 1 of the second image
    moved = (embed(images) - before).abs().amax(dim=2) > 0
    assert moved.tolist() == [[False] * 6, [False, False, False, True, False, False]]


@pytest.mark.parametrize(("side", "stride"), [(4, 2), (3, 1)])
def test_equals_each_patch_alone_in_the_order_of_the_linear_embedding(side: int, stride: int) -> None:
    torch.manual_seed(0)
    embed, images = ConvPatchEmbed((side, side), 2, 8, channels=5), torch.randn(2, 2, 2 * side, 3 * side)
    conv1, norm1, _, conv2, norm2, _ = embed.layers
    with torch.no_grad():
        for norm in (norm1, norm2):
            norm.weight.add_(0.3 * torch.randn(5))
            norm.bias.add_(0.3 * torch.randn(5))
    found = embed(images)
    weights = embed.proj.weight.flatten(1)
    for sample, image in enumerate(images):
        for token in range(6):
            row, column = divmod(token, 3)
            patch = image[:, side * row : side * (row + 1), side * column : side * (column + 1)]
            hidden = patch
            for conv, norm, step in ((conv1, norm1, stride), (conv2, norm2, 1)):
                hidden = slow_convolution(hidden, conv, step)
                hidden = (hidden - hidden.mean()) / (hidden.var(unbiased=False) + norm.eps).sqrt()
                hidden = hidden * norm.weight[:, None, None] + norm.bias[:, None, None]
                hidden = hidden * 0.5 * (1 + torch.erf(hidden / math.sqrt(2)))
            cells = [patch[c, y::stride, x::stride] for c in range(2) for y in range(stride) for x in range(stride)]
            expected = weights @ torch.cat([torch.stack(cells), hidden]).flatten() + embed.proj.bias
            torch.testing.assert_close(found[sample, token], expected, atol=1e-5, rtol=1e-5)


def slow_convolution(patch: torch.Tensor, conv: nn.Conv2d, stride: int) -> torch.Tensor:
    """Place by place, with zeros around the patch."""
    wide = torch.zeros(patch.shape[0], patch.shape[1] + 2, patch.shape[2] + 2)
    wide[:, 1:-1, 1:-1] = patch
    out = torch.zeros(len(conv.weight), patch.shape[1] // stride, patch.shape[2] // stride)
    for y in range(out.shape[1]):
        for x in range(out.shape[2]):
            seen = wide[:, stride * y : stride * y + 3, stride * x : stride * x + 3]
            out[:, y, x] = (conv.weight * seen).sum(dim=(1, 2, 3)) + conv.bias
    return out


def test_the_brightness_of_a_patch_is_not_lost() -> None:
    """At initial biases of 0 the convolutions and norms alone give the same for a patch and twice that patch."""
    model, patch = VisionTransformer(8, 8, 48, 1, 3, patch_embedding="convolutional"), torch.randn(1, 3, 8, 8)
    once, twice = (model.patch_embed.layers(scale * patch) for scale in (1, 2))
    torch.testing.assert_close(once, twice, atol=1e-2, rtol=0)
    once, twice = (model.patch_embed(scale * patch) for scale in (1, 2))
    assert (once - twice).abs().max() > 0.1


@pytest.mark.parametrize("size", [(32, 32), (32, 48)])
def test_an_encoder_with_it_takes_rectangles_and_other_sizes(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = VisionTransformer(size, 8, 48, 2, 3, patch_embedding="convolutional")
    images, keep = torch.randn(2, 3, *size), torch.tensor([[0, 3, 9], [1, 2, 4]])
    assert model(images).shape == (2, size[0] * size[1] // 64, 48)
    assert model(torch.randn(1, 3, 64, 32)).shape == (1, 32, 48)
    kept = model(images, keep=keep)
    images[:, :, -8:] += 1  # the last row, of which nothing is kept
    assert torch.equal(model(images, keep=keep), kept)
    kept.pow(3).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())
    with pytest.raises(ValueError, match="does not divide"):
        model(torch.randn(1, 3, 30, 32))


@pytest.mark.parametrize("kind", ["linear", "convolutional"])
def test_an_empty_batch_has_no_tokens(kind: PatchEmbedding) -> None:
    encoder = VisionTransformer(16, 4, 48, 1, 3, patch_embedding=kind)
    assert encoder(torch.zeros(0, 3, 16, 16)).shape == (0, 16, 48)


@pytest.mark.parametrize("embed", [PatchEmbed((4, 4), 3, 8), ConvPatchEmbed((4, 4), 3, 8)])
def test_images_that_patches_do_not_divide_are_refused(embed: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match=r"patch 4x4 does not divide an input of 10x8"):
        embed(torch.zeros(2, 3, 10, 8))


def test_a_linear_one_is_the_same_encoder_as_ever() -> None:
    models = []
    for options in ({}, {"patch_embedding": "linear"}):
        torch.manual_seed(0)
        models.append(VisionTransformer(32, 8, 48, 1, 3, **options))  # type: ignore[arg-type]
    plain, linear = models
    assert list(plain.state_dict()) == list(linear.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), linear.parameters(), strict=True))


def test_weights_start_as_others_do() -> None:
    torch.manual_seed(0)
    default = VisionTransformer(32, 8, 192, 1, 3, patch_embedding="convolutional").patch_embed
    for layer, std in ((default.layers[0], 0.02), (default.layers[3], 0.02), (default.proj, 0.02 * (12 / 25.6) ** 0.5)):
        assert layer.weight.std().item() == pytest.approx(std, rel=0.1)
        assert not layer.bias.any()


def test_clips_and_unknown_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match=r"patch_embedding=convolutional is for encoders of images.*num_frames=1\."):
        VisionTransformer(32, 8, 48, 1, 3, num_frames=4, patch_embedding="convolutional")
    with pytest.raises(ValueError, match="there is no patch_embedding 'conv': choose one of linear, convolutional"):
        VisionTransformer(32, 8, 48, 1, 3, patch_embedding="conv")  # type: ignore[arg-type]


@pytest.mark.parametrize("patch", [4, 7, 8])
@pytest.mark.parametrize("channels", [1, 3])
def test_tokens_start_at_the_scale_of_the_linear_embedding(patch: int, channels: int) -> None:
    torch.manual_seed(0)
    side = 4 * patch
    images = torch.randn(4, channels, side, side)
    found = [
        VisionTransformer(side, patch, 768, 1, 12, in_channels=channels, patch_embedding=kind).patch_embed(images)
        for kind in ("linear", "convolutional")
    ]
    linear, convolutional = (tokens.square().mean().sqrt().item() for tokens in found)
    assert linear == pytest.approx(0.02 * math.sqrt(channels) * patch, rel=0.05)
    assert convolutional == pytest.approx(linear, rel=0.05)
