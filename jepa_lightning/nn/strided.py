# B batch, C channels, H W height and width, D width
"""A residual convolutional encoder for small images that is light on a CPU."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from jepa_lightning.nn.conv_block import ConvBlock
from jepa_lightning.nn.image_checks import check_images, check_sizes


class StridedEncoder(nn.Module):
    """Residual blocks behind strided convolutions, then one linear layer: an image to a single token.

    The blocks are those of ``ImpalaEncoder``, whose maxima take nearly half of a training step on a CPU, in their
    backward pass. Here a first convolution makes the image ``stride`` times smaller, and each later one halves it.

    Args:
        image_size: height and width; sides need not be multiples of anything.
        in_channels: C.
        width: D.
        channels: of each stage, of which there is at least one.
        stride: of the first convolution, whose kernel has ``2 * stride - 1`` rows and columns.
        blocks: residual blocks of each stage, or 0.

    Attributes:
        grid_size: rows and columns of tokens, of which there is one.
        input_size: the image size.

    Raises:
        ValueError: if a number is out of its range, or there is no stage.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import StridedEncoder
        >>> StridedEncoder((65, 65), in_channels=2, width=32)(torch.zeros(4, 2, 65, 65)).shape
        torch.Size([4, 1, 32])
    """

    def __init__(
        self,
        image_size: Sequence[int],
        in_channels: int,
        width: int = 512,
        channels: Sequence[int] = (16, 16, 32),
        stride: int = 4,
        blocks: int = 2,
    ) -> None:
        super().__init__()
        positive = {"image_size": image_size, "channels": channels}
        positive |= {"in_channels": [in_channels], "width": [width], "stride": [stride]}
        for name, numbers in positive.items():
            check_sizes(type(self).__name__, name, numbers)
        check_sizes(type(self).__name__, "blocks", [blocks], least=0)
        self.width, self.in_channels = width, in_channels
        self.input_size, self.grid_size = tuple(image_size), (1, 1)
        strides = (stride, *[2] * (len(channels) - 1))
        layers: list[nn.Module] = []
        for (inputs, out), step in zip(pairwise((in_channels, *channels)), strides, strict=True):
            layers.append(nn.Conv2d(inputs, out, kernel_size=2 * step - 1, stride=step, padding=step - 1))
            layers += [ConvBlock(out) for _ in range(blocks)]
        self.stages = nn.Sequential(*layers)
        rows, columns = image_size
        for step in strides:
            rows, columns = -(-rows // step), -(-columns // step)
        self.linear = nn.Linear(channels[-1] * rows * columns, width)

    def forward(self, x: Tensor) -> Tensor:
        """Encodes images ``[B, C, H, W]`` to ``[B, 1, D]``.

        Raises:
            ValueError: if they are of another size, or have other channels, than those built for.
        """
        check_images(x, self.in_channels, self.input_size)
        # with few channels a CPU computes channels last faster
        token: Tensor = self.linear(self.stages(x.contiguous(memory_format=torch.channels_last)).flatten(1))
        return token[:, None]
