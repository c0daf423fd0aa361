import math

import numpy as np
import pytest
import torch

from jepa_lightning.data.procedural.drawing import SHAPES, TEXTURES, Place, _root, coordinates, coverage


def test_coordinates_are_seen_from_the_object_in_units_of_its_radius() -> None:
    # the center of pixel (row 2, column 6) of 8 lies at x = 13/16, y = 5/16
    x, y = coordinates(8, [Place(13 / 16, 5 / 16, 0.25, 0.0), Place(0.5, 0.5, 0.5, math.pi / 2)])
    assert x.shape == y.shape == (2, 8, 8)
    assert (x[0, 2, 6].item(), y[0, 2, 6].item()) == pytest.approx((0, 0), abs=1e-6)
    assert (x[0, 2, 4].item(), y[0, 4, 6].item()) == pytest.approx((-1, 1), abs=1e-6)
    # turned by a right angle: what lies below the center lies along the object's own x
    assert (x[1, 2, 6].item(), y[1, 2, 6].item()) == pytest.approx((-0.375, -0.625), abs=1e-6)


def test_square_roots_are_the_true_ones_rounded() -> None:
    values = torch.rand(200_000, generator=torch.Generator().manual_seed(0)) * 3
    assert np.array_equal(_root(values).numpy(), np.sqrt(values.numpy()))


def test_coverage_is_one_inside_and_has_the_area_of_the_shape() -> None:
    place = Place(0.5, 0.5, 0.4, 0.0)
    cover = coverage(SHAPES["disc"](*coordinates(64, [place])), [place])[0]
    assert cover[32, 32] == 1
    assert cover[0, 0] == 0
    assert cover.mean().item() == pytest.approx(math.pi * (0.86 * 0.4) ** 2, rel=0.01)


@pytest.mark.parametrize("name", TEXTURES)
def test_textures_are_shares_and_only_plain_is_constant(name: str) -> None:
    x, y = coordinates(48, [Place(0.5, 0.5, 0.2, 0.3)])
    share = TEXTURES[name](x[0], y[0], 1 / (0.2 * 48))
    assert share.shape == (48, 48)
    assert share.min() >= 0
    assert share.max() <= 1
    assert (share.std() > 0.05) == (name != "plain")


@pytest.mark.parametrize("name", SHAPES)
def test_shapes_fit_the_unit_circle_and_fill_a_good_part_of_it(name: str) -> None:
    x, y = torch.meshgrid(torch.linspace(-1.2, 1.2, 241), torch.linspace(-1.2, 1.2, 241), indexing="xy")
    inside = SHAPES[name](x, y) < 0
    assert torch.hypot(x, y)[inside].max() <= 1.0
    assert torch.hypot(x, y)[inside].max() > 0.85
    assert 0.2 < inside.float().sum() * 0.01**2 / torch.pi < 0.8


@pytest.mark.parametrize("name", SHAPES)
def test_distances_rise_by_one_a_unit_across_edges(name: str) -> None:
    """The gradient of a true distance has length 1; edges are then one pixel soft whatever their direction."""
    x, y = torch.meshgrid(torch.linspace(-1.2, 1.2, 481), torch.linspace(-1.2, 1.2, 481), indexing="xy")
    x, y = x.requires_grad_(), y.requires_grad_()
    distance = SHAPES[name](x, y)
    slopes = torch.hypot(*torch.autograd.grad(distance.sum(), (x, y)))[distance.abs() < 0.01]
    # corners, where two edges meet, are a few points
    assert ((slopes - 1).abs() < 1e-3).float().mean() > 0.97
