from typing import Any

import pytest

from jepa_lightning.worlds.purposes import options_for


@pytest.mark.parametrize(
    ("purpose", "name", "given", "expected"),
    [
        ("train", "TwoRooms", {}, {"layouts": "train"}),
        ("val", "jepa_lightning/TwoRooms-v0", {}, {"layouts": "val"}),
        ("val", "TwoRooms", {"layouts": "all", "render_mode": None}, {"layouts": "all", "render_mode": None}),
        ("train", "Pendulum-v1", {"g": 9.8}, {"g": 9.8}),
    ],
)
def test_two_rooms_have_layouts_of_their_own_for_each_purpose(
    purpose: Any, name: str, given: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert options_for(purpose, name, given) == expected
