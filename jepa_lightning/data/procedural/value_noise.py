# H W height and width
"""Smooth random colors, which stand for the surroundings that a real picture has."""

import torch
from torch import Tensor

from jepa_lightning.data.procedural.drawing import UniformDraw, blend


def value_noise(cells: int, size: int, draw: UniformDraw) -> Tensor:
    """Random tones at the corners of a grid, and straight lines between them.

    Pixels go through sums and products only, so they have the same bytes on every machine.

    Args:
        cells: of the grid, along each side.
        size: pixels per side.
        draw: numbers in [0, 1), of which it takes 3 for each corner.

    Returns:
        ``[3, H, W]`` in [0, 1).
    """
    corners = cells + 1
    tones = torch.tensor([draw() for _ in range(3 * corners * corners)]).view(3, corners, corners)
    place = (torch.arange(size) + 0.5) * (cells / size)
    cell = place.floor().long()
    share = place - cell
    rows = blend(tones[:, cell], tones[:, cell + 1], share[:, None])
    return blend(rows[:, :, cell], rows[:, :, cell + 1], share)
