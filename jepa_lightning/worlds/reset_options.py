# E rooms side by side
"""What a reset of two rooms may ask for, and what it may not."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from jepa_lightning.worlds.layouts import DOORS, WALLS
from jepa_lightning.worlds.two_rooms import Floats, Ints, is_free

PLACES = ("position", "goal")
LAYOUT = {"wall": WALLS, "door": DOORS}


def read_options(options: Mapping[str, Any] | None, rooms: int) -> dict[str, Any]:
    """Options as arrays: places ``[E, 2]``, columns of walls and rows of doors ``[E]``, those alone that were given.

    Args:
        options: of ``reset``: one value for all rooms, or one for each of them.
        rooms: E.

    Raises:
        ValueError: if an option is unknown, not numeric, or out of its range.
    """
    found: dict[str, Any] = {}
    for name, value in (options or {}).items():
        if name in PLACES:
            found[name] = _numbers(name, value, (rooms, 2), "two numbers (x, y) in pixels")
        elif name in LAYOUT:
            low, high = LAYOUT[name]
            numbers = _numbers(name, value, (rooms,), f"a whole number from {low} to {high}")
            if np.any((numbers % 1 != 0) | (numbers < low) | (numbers > high)):
                raise ValueError(f"reset: {name}={value!r} is not a whole number from {low} to {high}.")
            found[name] = numbers.astype(np.int64)
        else:
            raise ValueError(f"reset: there is no option {name!r}: give position, goal, wall or door.")
    return found


def check_place(name: str, place: Floats, wall: Ints, door: Ints) -> None:
    """Refuses places ``[E, 2]`` where no agent can be.

    Raises:
        ValueError: if one is in the wall, or outside of the border.
    """
    bad = np.flatnonzero(~is_free(place, wall, door))
    if len(bad):
        x, y = place[bad[0]]
        raise ValueError(
            f"reset: {name}=({x:g}, {y:g}) is in a wall: both must be from 4.3 to 59.7, and 1.8 or more from the wall "
            f"at x={wall[bad[0]]} unless y is within 3.7 of the door at {door[bad[0]]}."
        )


def _numbers(name: str, value: Any, shape: tuple[int, ...], form: str) -> Floats:
    try:
        numbers: Floats = np.broadcast_to(np.asarray(value, dtype=np.float64), shape).copy()
    except (TypeError, ValueError):
        raise ValueError(f"reset: {name}={value!r} is not {form}.") from None
    if not np.isfinite(numbers).all():
        raise ValueError(f"reset: {name}={value!r} is not finite: give {form}.")
    return numbers
