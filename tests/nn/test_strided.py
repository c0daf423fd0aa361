from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.nn import ImpalaEncoder, StridedEncoder


def slow(network: StridedEncoder, x: Tensor, strides: list[int], blocks: int) -> Tensor:
    """Layer by layer from the weights alone; a strided convolution is one of all places, of which some are kept."""
    weights = dict(network.named_parameters())

    def conv(x: Tensor, name: str) -> Tensor:
        kernel = weights[f"{name}.weight"]
        return F.conv2d(x, kernel, weights[f"{name}.bias"], padding=kernel.shape[-1] // 2)

    layer = 0
    for stride in strides:
        x = conv(x, f"stages.{layer}")[..., ::stride, ::stride]
        for block in range(layer + 1, layer + 1 + blocks):
            inner = conv(x.clamp_min(0), f"stages.{block}.conv1")
            x = x + conv(inner.clamp_min(0), f"stages.{block}.conv2")
        layer += 1 + blocks
    return (x.flatten(1) @ weights["linear.weight"].T + weights["linear.bias"])[:, None]


@pytest.mark.parametrize(
    ("size", "channels", "stride", "blocks"), [((65, 65), 2, 4, 2), ((32, 48), 3, 2, 1), ((7, 5), 1, 1, 0)]
)
def test_equals_layers_computed_from_the_weights(
    size: tuple[int, int], channels: int, stride: int, blocks: int
) -> None:
    network = StridedEncoder(size, channels, width=6, channels=(2, 3, 4), stride=stride, blocks=blocks)
    x = torch.randn(2, channels, *size)
    torch.testing.assert_close(network(x), slow(network, x, [stride, 2, 2], blocks), rtol=1e-4, atol=1e-5)


def test_another_image_size_is_refused() -> None:
    with pytest.raises(ValueError, match="built for images of 9x9, got 9x10: set image_size"):
        StridedEncoder((9, 9), 1, width=4)(torch.zeros(1, 1, 9, 10))


def test_images_of_other_channels_are_refused() -> None:
    for kind in (StridedEncoder, ImpalaEncoder):
        with pytest.raises(ValueError, match="built for images of 2 channels, got 3: set in_channels"):
            kind((9, 9), 2, width=4)(torch.zeros(1, 3, 9, 9))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"stride": 0}, "stride=0 is out of range: give whole numbers of at least 1"),
        ({"stride": 2.5}, "stride=2.5 is out of range"),
        ({"channels": ()}, r"channels=\[\] is out of range"),
        ({"channels": (4, 0)}, r"channels=\[4, 0\] is out of range"),
        ({"blocks": -1}, "blocks=-1 is out of range: give whole numbers of at least 0"),
        ({"width": 0}, "width=0 is out of range"),
        ({"in_channels": 0}, "in_channels=0 is out of range"),
        ({"image_size": (0, 9)}, r"image_size=\[0, 9\] is out of range"),
    ],
)
def test_sizes_that_no_network_has_are_one_line(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(ValueError, match=f"^StridedEncoder: {fault}"):
        StridedEncoder(**{"image_size": (9, 7), "in_channels": 2, **options})


@pytest.mark.parametrize("size", [(1, 1), (2, 9), (17, 6)])
@pytest.mark.parametrize("channels", [(3,), (3, 4)])
@pytest.mark.parametrize("stride", [1, 3, 5])
def test_any_side_and_any_number_of_stages(size: tuple[int, int], channels: tuple[int, ...], stride: int) -> None:
    network, x = StridedEncoder(size, 2, 5, channels, stride, blocks=1), torch.randn(2, 2, *size)
    strides = [stride, *[2] * (len(channels) - 1)]
    torch.testing.assert_close(network(x), slow(network, x, strides, 1), rtol=1e-4, atol=1e-5)
