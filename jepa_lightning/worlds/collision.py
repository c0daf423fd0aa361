# E agents
"""What an agent on a straight way meets first in two rooms: swept along the way, so that no step is too long for it."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

BORDER = (4.0, 60.0)
HALF_WALL = 1.5
HALF_DOOR = 4.0
MARGIN = 0.3


def collision_time(start: Floats, step: Floats, wall: NDArray[Any], door: NDArray[Any]) -> Floats:
    """The share of a step after which an agent meets the border or the wall; above 1 where it meets neither.

    Args:
        start: ``[E, 2]``, in the rooms or in the door.
        step: displacement ``[E, 2]``.
        wall: column of the wall's middle ``[E]``.
        door: row of the door's middle ``[E]``.

    Returns:
        ``[E]``.
    """
    sides = np.stack([wall - HALF_WALL, wall + HALF_WALL])
    above = np.stack([np.full(len(start), -np.inf), door - HALF_DOOR])
    below = np.stack([door + HALF_DOOR, np.full(len(start), np.inf)])
    times = [_box_time(start, step, sides, rows) for rows in (above, below)]
    return np.minimum(np.minimum(*times), _border_time(start, step))


def keep_margin(position: Floats, wall: NDArray[Any], door: NDArray[Any]) -> Floats:
    """Places ``[E, 2]`` moved out of the margin of 0.3 around the border and the wall, the shortest way."""
    x, y = np.clip(position, BORDER[0] + MARGIN, BORDER[1] - MARGIN).T
    across, along = x - wall, y - door
    # how deep they are in the wall with its margin, from its sides and from its ends at the door
    from_side = HALF_WALL + MARGIN - np.abs(across)
    from_end = np.abs(along) - (HALF_DOOR - MARGIN)
    inside = (from_side > 0) & (from_end > 0)
    sideways = inside & (from_side <= from_end)
    x = np.where(sideways, wall + np.copysign(HALF_WALL + MARGIN, across), x)
    y = np.where(inside & ~sideways, door + np.copysign(HALF_DOOR - MARGIN, along), y)
    return np.stack([x, y], axis=1)


def _box_time(start: Floats, step: Floats, columns: Floats, rows: Floats) -> Floats:
    """When ways enter a box: the last of the two times at which they enter its columns and its rows."""
    enter, leave = np.full(len(start), -np.inf), np.full(len(start), np.inf)
    for axis, (low, high) in enumerate((columns, rows)):
        place, speed = start[:, axis], step[:, axis]
        moving = speed != 0
        pace = np.where(moving, speed, 1)
        first, second = (low - place) / pace, (high - place) / pace
        within = (low <= place) & (place <= high)
        enter = np.maximum(enter, np.where(moving, np.minimum(first, second), np.where(within, -np.inf, np.inf)))
        leave = np.minimum(leave, np.where(moving, np.maximum(first, second), np.where(within, np.inf, -np.inf)))
    return np.where((enter <= leave) & (enter >= 0), enter, np.inf)


def _border_time(start: Floats, step: Floats) -> Floats:
    """When ways reach the border."""
    ahead = np.where(step > 0, BORDER[1], BORDER[0]) - start
    first: Floats = np.divide(ahead, step, out=np.full_like(start, np.inf), where=step != 0).min(axis=1)
    return first
