"""Colors of numbers and of classes, without a plotting library."""

import torch
from torch import Tensor

# inferno of Smith and van der Walt (public domain), at eight places
HEAT = (
    (0, 0, 4), (40, 11, 84), (101, 21, 110), (159, 42, 99),
    (212, 72, 66), (245, 125, 21), (250, 193, 39), (252, 255, 164),
)  # fmt: skip
# told apart by people with any kind of color vision: Okabe and Ito, "Color Universal Design", 2008
DISTINCT = ((230, 159, 0), (0, 114, 178), (0, 158, 115), (213, 94, 0), (204, 121, 167), (86, 180, 233))
RIGHT, WRONG = (0, 158, 115), (213, 60, 40)


def heat(shares: Tensor) -> Tensor:
    """Colors from black over red to pale yellow, uint8 ``[..., 3]``, of numbers from 0 to 1.

    Args:
        shares: of any shape; what is outside gets the color of the nearest end.
    """
    scale = torch.tensor(HEAT, dtype=torch.float32)
    place = shares.float().clamp(0, 1) * (len(HEAT) - 1)
    below = place.floor().long().clamp(max=len(HEAT) - 2)
    part = (place - below).unsqueeze(-1)
    return ((1 - part) * scale[below] + part * scale[below + 1]).round().to(torch.uint8)


def red_over_dark(values: Tensor, axis: int) -> Tensor:
    """Two channels, such as an agent and walls, in colors: the first in red over the second in dark gray, on white.

    Args:
        values: uint8, of two along the axis.
        axis: of the channels.

    Returns:
        uint8, of three along the axis.
    """
    front, back = (values.narrow(axis, channel, 1).float() / 255 for channel in (0, 1))
    red = torch.tensor([200.0, 30.0, 40.0]).view(3, *[1] * (values.ndim - axis - 1))
    mixed: Tensor = front * red + (1 - front) * 255 * (1 - 0.8 * back)
    return mixed.round().to(torch.uint8)
