import math

import pytest
import torch

from jepa_lightning.planning import Bounds

ONES = torch.ones(2)


def test_the_norm_shortens_and_the_box_cuts() -> None:
    bounds = Bounds(torch.tensor([-1.0, -5.0]), torch.tensor([1.0, 5.0]), max_norm=2.0)
    inside = torch.tensor([[0.5, -1.5], [0.0, 0.0]])
    assert torch.equal(bounds.clip(inside), inside)
    torch.testing.assert_close(bounds.clip(torch.tensor([0.0, -9.0])), torch.tensor([0.0, -2.0]))
    torch.testing.assert_close(bounds.clip(torch.tensor([30.0, 40.0])), torch.tensor([1.0, 1.6]))


def test_the_unit_is_half_the_width_or_the_norm() -> None:
    assert Bounds(-3 * ONES, 5 * ONES).unit.tolist() == [4, 4]
    assert Bounds(-3 * ONES, 5 * ONES, max_norm=2.0).unit.tolist() == [2, 2]
    assert Bounds(-3 * ONES, 5 * ONES, scale=ONES / 2).unit.tolist() == [0.5, 0.5]
    assert Bounds(-3 * ONES, 5 * ONES).center.tolist() == [1, 1]


def test_without_a_bound_there_is_a_scale() -> None:
    bounds = Bounds(-math.inf * ONES, math.inf * ONES, scale=ONES)
    assert bounds.center.tolist() == [0, 0]
    assert bounds.clip(torch.tensor([7.0, -7.0])).tolist() == [7, -7]
    assert Bounds(-math.inf * ONES, math.inf * ONES, max_norm=3.0).unit.tolist() == [3, 3]


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ((ONES, -ONES), "the lower bounds"),
        ((ONES, ONES), "the lower bounds"),
        ((math.nan * ONES, ONES), "the lower bounds"),
        ((-ONES, torch.ones(3)), r"bounds are two vectors \[A\], not \[2\] and \[3\]"),
        ((torch.zeros(0), torch.zeros(0)), r"bounds are two vectors \[A\]"),
        ((ONES / 2, ONES, 1.0), "with a max_norm zero has to be in the box"),
        ((-ONES, ONES, 0.0), r"max_norm=0.0 is no norm"),
        ((-ONES, ONES, math.nan), r"max_norm=nan is no norm"),
        ((-ONES, ONES, None, torch.ones(3)), r"scale has the shape \[3\], and the bounds \[2\]"),
        ((-ONES, ONES, None, torch.zeros(2)), "without finite bounds give a scale"),
        ((-math.inf * ONES, ONES), "without finite bounds give a scale"),
    ],
)
def test_what_is_no_bound_is_one_line(arguments: tuple, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        Bounds(*arguments)
