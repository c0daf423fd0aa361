import pytest
import torch

from jepa_lightning.callbacks.pictures.colors import HEAT, heat, red_over_dark


def test_heat_rises_from_black_to_pale_yellow_and_ends_there():
    shares = torch.tensor([-1.0, 0.0, 1 / 7, 0.5, 1.0, 2.0])
    found = [tuple(color) for color in heat(shares).tolist()]
    assert found[0] == found[1] == HEAT[0]
    assert found[2] == HEAT[1]
    assert found[3] == tuple(round((low + high) / 2) for low, high in zip(HEAT[3], HEAT[4], strict=True))
    assert found[4] == found[5] == HEAT[7]


def test_heat_gets_lighter_all_the_way():
    light = heat(torch.linspace(0, 1, 50)).float() @ torch.tensor([0.299, 0.587, 0.114])
    assert (light.diff() > 0).all()
    assert heat(torch.rand(2, 3, 4)).shape == (2, 3, 4, 3)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_of_two_channels_the_first_is_red_and_the_second_dark(axis):
    dot, wall, free = [255, 0], [0, 255], [0, 0]
    values = torch.tensor([dot, wall, free], dtype=torch.uint8).reshape(3, 1, 2).movedim(2, axis)
    found = red_over_dark(values, axis).movedim(axis, 2).reshape(3, 3)
    assert found.tolist() == [[200, 30, 40], [51, 51, 51], [255, 255, 255]]
