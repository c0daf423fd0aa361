import pytest
import torch
from torch.nn import functional as F

from jepa_lightning.nn import VisionTransformer
from jepa_lightning.nn.patch_embed import PatchEmbed


@pytest.mark.parametrize(
    ("patch", "shape"), [((4, 4), (2, 3, 8, 12)), ((4, 2), (2, 1, 8, 6)), ((2, 4, 4), (2, 3, 4, 8, 12))]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_linear_layer_of_patches_is_torchs_convolution(
    patch: tuple[int, ...], shape: tuple[int, ...], dtype: torch.dtype
) -> None:
    torch.manual_seed(0)
    embed, x = PatchEmbed(patch, shape[1], 16), torch.randn(shape, requires_grad=True)
    convolution = F.conv2d if len(patch) == 2 else F.conv3d
    slow = convolution(x, embed.proj.weight, embed.proj.bias, stride=patch).flatten(2).transpose(1, 2)
    with torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16):
        tokens = embed(x)
    assert tokens.dtype == dtype
    assert tokens.is_contiguous()
    weights, inputs = torch.randn_like(slow), (x, embed.proj.weight, embed.proj.bias)
    found, expected = ((out, *torch.autograd.grad((out * weights).sum(), inputs)) for out in (tokens.float(), slow))
    for ours, torchs in zip(found, expected, strict=True):
        assert (ours - torchs).norm() < (1e-6 if dtype is torch.float32 else 2**-7) * torchs.norm()


def test_images_of_other_channels_are_refused_with_the_option_to_set() -> None:
    with pytest.raises(ValueError, match=r"an input of 1 channels does not fit .* of 3: set in_channels=1\."):
        VisionTransformer(16, 4, 48, 1, 3)(torch.zeros(2, 1, 16, 16))


def test_a_stride_that_is_set_later_counts() -> None:
    embed, images = PatchEmbed((4, 4), 3, 8), torch.randn(2, 3, 8, 8)
    embed.proj.stride = (2, 2)
    assert embed(images).shape == (2, 9, 8)
