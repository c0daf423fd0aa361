import math

import pytest

from jepa_lightning.masking.ranges import between, check_range


@pytest.mark.parametrize(("share", "number"), [(0.0, 0.75), (1.0, 1.5), (0.5, 1.125), (1 / 3, 1.0)])
def test_between_goes_from_the_smallest_to_the_largest(share: float, number: float) -> None:
    assert between((0.75, 1.5), share) == pytest.approx(number)


@pytest.mark.parametrize("limits", [(0.1, 0.2), (0.2, 0.2), (1e-9, 1.0), (1.0, 1.0)])
def test_ranges_of_positive_numbers_are_accepted(limits: tuple[float, float]) -> None:
    check_range("scale", limits, 1.0)
    check_range("scale", limits, math.inf)


@pytest.mark.parametrize("limits", [(0.0, 0.5), (-0.1, 0.5), (0.5, 0.4), (0.5, math.inf), (math.nan, 0.5)])
@pytest.mark.parametrize(("highest", "bound"), [(1.0, " <= 1."), (math.inf, ".")])
def test_others_are_refused_with_the_name_and_the_numbers(limits, highest: float, bound: str) -> None:
    with pytest.raises(ValueError, match="is no range") as error:
        check_range("scale", limits, highest)
    words = f"scale {limits} is no range: give (smallest, largest) with 0 < smallest <= largest"
    assert str(error.value) == words + bound


def test_the_highest_is_a_bound() -> None:
    with pytest.raises(ValueError, match=r"scale \(0.5, 1.5\) .* <= 1\."):
        check_range("scale", (0.5, 1.5), 1.0)
    check_range("scale", (0.5, 1.5), math.inf)
