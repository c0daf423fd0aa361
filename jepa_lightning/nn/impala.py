# B batch, C channels, H W height and width, D width
"""The residual convolutional encoder of IMPALA, for small images.

Source: IMPALA, arXiv 1802.01561, figure 3; as an encoder of states: EB-JEPA, arXiv 2602.03604.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from jepa_lightning.nn.conv_block import ConvBlock
from jepa_lightning.nn.image_checks import check_images


class ImpalaEncoder(nn.Module):
    """Stages that halve the image, then one linear layer: an image to a single token.

    A stage is a convolution, a maximum over 3 x 3 places with stride 2, and two residual blocks. EB-JEPA's LayerNorm of
    the token is left to the module that uses it, since its predictor ends in the same one.

    Args:
        image_size: height and width; sides need not be even.
        in_channels: C.
        width: D.
        channels: of each stage.

    Attributes:
        grid_size: rows and columns of tokens, of which there is one.
        input_size: the image size.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import ImpalaEncoder
        >>> ImpalaEncoder((65, 65), in_channels=2, width=48)(torch.rand(2, 2, 65, 65)).shape
        torch.Size([2, 1, 48])
    """

    def __init__(
        self, image_size: Sequence[int], in_channels: int, width: int = 512, channels: Sequence[int] = (16, 32, 32)
    ) -> None:
        super().__init__()
        self.width, self.in_channels = width, in_channels
        self.input_size, self.grid_size = tuple(image_size), (1, 1)
        self.stages = nn.Sequential(*(_stage(*pair) for pair in pairwise((in_channels, *channels))))
        rows, columns = image_size
        for _ in channels:
            rows, columns = (rows + 1) // 2, (columns + 1) // 2
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


def _stage(channels: int, out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, out, kernel_size=3, padding=1),
        nn.MaxPool2d(kernel_size=3, stride=2, padding=1),
        ConvBlock(out),
        ConvBlock(out),
    )
