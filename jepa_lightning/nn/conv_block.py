# B batch, C channels, H W height and width
"""The residual block of IMPALA's convolutional encoder."""

import torch
from torch import Tensor, nn


class ConvBlock(nn.Module):
    """Two convolutions of 3 x 3, each behind a ReLU, whose result is added to their input.

    Source: IMPALA, arXiv 1802.01561, figure 3.

    Args:
        channels: C.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import ConvBlock
        >>> ConvBlock(4)(torch.zeros(2, 4, 9, 9)).shape
        torch.Size([2, 4, 9, 9])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[B, C, H, W]`` to ``[B, C, H, W]``."""
        change: Tensor = self.conv2(torch.relu(self.conv1(torch.relu(x))))
        return x + change
