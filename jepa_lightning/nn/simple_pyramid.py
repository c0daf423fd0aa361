# B batch, D width, C channels, h w of the grid
"""Maps of several sizes from the one map of a plain Vision Transformer."""

from typing import cast

from timm.layers.norm import LayerNorm2d
from torch import Tensor, nn
from torchvision.ops import Conv2dNormActivation

MULTIPLE = 4  # that the sides of a map must have, so that the smallest one is that of the whole


class SimplePyramid(nn.Module):
    """The simple feature pyramid of ViTDet, by convolutions of the last map alone.

    Four maps are 4, 2, 1 and 1/2 times as large; a fifth one, for proposals alone, takes every second place of the
    last of them.

    Source: "Exploring Plain Vision Transformer Backbones for Object Detection", arXiv 2203.16527, sections 3 and A.2.

    Args:
        width: D.
        channels: C.

    Attributes:
        out_channels: C, under the name that torchvision's detectors ask for.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn.simple_pyramid import SimplePyramid
        >>> maps = SimplePyramid(width=192, channels=32)(torch.zeros(2, 192, 8, 8))
        >>> {name: tuple(each.shape[2:]) for name, each in maps.items()}
        {'0': (32, 32), '1': (16, 16), '2': (8, 8), '3': (4, 4), 'pool': (2, 2)}
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.out_channels = channels
        half, quarter = max(1, width // 2), max(1, width // 4)
        up = nn.ConvTranspose2d(width, half, 2, stride=2), LayerNorm2d(half), nn.GELU()
        self.levels = nn.ModuleList(
            [
                nn.Sequential(*up, nn.ConvTranspose2d(half, quarter, 2, stride=2), *_to(quarter, channels)),
                nn.Sequential(nn.ConvTranspose2d(width, half, 2, stride=2), *_to(half, channels)),
                nn.Sequential(*_to(width, channels)),
                nn.Sequential(nn.MaxPool2d(2), *_to(width, channels)),
            ]
        )

    def forward(self, maps: Tensor) -> dict[str, Tensor]:
        """Maps ``[B, D, h, w]``, of which h and w are multiples of 4, to maps of C channels by the names of levels."""
        found = {str(number): cast(Tensor, level(maps)) for number, level in enumerate(self.levels)}
        return {**found, "pool": found["3"][:, :, ::2, ::2]}


def _to(width: int, channels: int) -> tuple[nn.Module, nn.Module]:
    """A convolution of each place, and one of its neighborhood, each with a norm over channels."""
    options = {"norm_layer": LayerNorm2d, "activation_layer": None}
    return Conv2dNormActivation(width, channels, 1, **options), Conv2dNormActivation(channels, channels, 3, **options)
