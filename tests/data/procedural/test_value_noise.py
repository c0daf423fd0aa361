import random

import numpy as np
import pytest
import torch
from scipy import ndimage

from jepa_lightning.data.procedural.value_noise import value_noise


@pytest.mark.parametrize(("cells", "size"), [(1, 5), (4, 48), (6, 64), (6, 7)])
def test_it_is_linear_interpolation_between_the_tones_at_the_corners(cells: int, size: int) -> None:
    draw = random.Random(0).random
    found = value_noise(cells, size, draw)
    draw = random.Random(0).random
    tones = np.array([draw() for _ in range(3 * (cells + 1) ** 2)]).reshape(3, cells + 1, cells + 1)
    places = np.meshgrid(*[(np.arange(size) + 0.5) / size * cells] * 2, indexing="ij")
    expected = np.stack([ndimage.map_coordinates(tone, places, order=1) for tone in tones])
    torch.testing.assert_close(found, torch.from_numpy(expected).float())


def test_it_takes_as_many_numbers_as_there_are_corners_and_follows_from_them() -> None:
    draw = random.Random(1).random
    first, second = value_noise(3, 16, draw), value_noise(3, 16, draw)
    assert not torch.equal(first, second)
    again = random.Random(1)
    for _ in range(3 * 16):
        again.random()
    assert torch.equal(value_noise(3, 16, again.random), second)
