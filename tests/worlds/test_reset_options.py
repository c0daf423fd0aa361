from typing import Any

import numpy as np
import pytest

from jepa_lightning.worlds.reset_options import check_place, read_options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start": (1, 2)}, "there is no option 'start': give position, goal, wall or door"),
        ({"position": (10, 20, 30)}, r"position=\(10, 20, 30\) is not two numbers"),
        ({"position": "left"}, "position='left' is not two numbers"),
        ({"goal": (np.nan, 3)}, "is not finite"),
        ({"wall": 19}, "wall=19 is not a whole number from 20 to 44"),
        ({"wall": 30.5}, "wall=30.5 is not a whole number"),
        ({"door": 55}, "door=55 is not a whole number from 10 to 54"),
    ],
)
def test_bad_options_end_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_options(options, 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "place", "message"),
    [
        ("position", (2, 20), r"position=\(2, 20\) is in a wall: both must be from 4.3 to 59.7"),
        ("goal", (32, 40), r"goal=\(32, 40\) is in a wall: .* wall at x=32 .* door at 18"),
    ],
)
def test_places_in_walls_are_refused(name: str, place: Any, message: str) -> None:
    free = np.array([[10.0, 20.0], place])
    with pytest.raises(ValueError, match=message):
        check_place(name, free, np.array([32, 32]), np.array([18, 18]))
    check_place(name, np.array([[10.0, 20.0], [32.0, 18.0]]), np.array([32, 32]), np.array([18, 18]))  # in the door


def test_one_value_is_for_all_rooms_and_more_are_one_for_each() -> None:
    found = read_options({"position": (10, 20), "wall": [20, 44]}, 2)
    assert found["position"].tolist() == [[10, 20], [10, 20]]
    assert (found["wall"].tolist(), found["wall"].dtype) == ([20, 44], np.int64)
    assert read_options(None, 2) == {}
