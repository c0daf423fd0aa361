# E rooms side by side, each with an agent of its own
"""Two rooms with a door between them, as pure functions on arrays: how agents move, and how it looks.

Units are pixels; x is a column and y a row, and the center of pixel i is at i. Source: EB-JEPA (arXiv 2602.03604).
"""

import numpy as np
from numpy.typing import NDArray

from jepa_lightning.worlds.collision import MARGIN, collision_time, keep_margin

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Pixels = NDArray[np.uint8]

SIZE = 65  # pixels of a side
LINES = (4, 60)  # rows and columns of the border
WALL_COLUMNS = 3
DOOR_ROWS = 9
MAX_STEP = 2.45  # length of an action
REACHED = 4.5  # distance from the goal below which it is reached
DOT = 1.3  # standard deviation of the agent's dot
PUSH = 0.5  # scale of how far an agent is pushed back from what it ran into
CHANNELS = 2
_PLACES = np.arange(SIZE)
_LINE = np.isin(_PLACES, LINES)
_BORDER = _LINE[:, None] | _LINE


def move(position: Floats, action: Floats, wall: Ints, door: Ints, noise: Floats) -> Floats:
    """Where agents are after an action.

    An agent that meets the border or the wall beside the door stops there, is pushed back the way that it came by
    0.5 * abs(noise), at most to where it started, and keeps a distance of 0.3 from all of them.

    Args:
        position: ``[E, 2]``.
        action: displacement ``[E, 2]``; a longer one than 2.45 is shortened to that.
        wall: column of the wall's middle ``[E]``.
        door: row of the door's middle ``[E]``.
        noise: standard normal numbers ``[E]``.

    Returns:
        ``[E, 2]``.
    """
    step = shortened(action)
    length = np.hypot(step[:, 0], step[:, 1])
    time = collision_time(position, step, wall, door)
    free = time > 1
    traveled = np.where(free, length, np.minimum(time, 1) * length)
    back = np.where(free, 0.0, np.minimum(PUSH * np.abs(noise), traveled))
    share = np.divide(traveled - back, length, out=np.zeros_like(length), where=length > 0)
    return keep_margin(position + step * share[:, None], wall, door)


def shortened(action: Floats) -> Floats:
    """Actions ``[E, 2]`` of at most the length 2.45, in their direction."""
    length = np.hypot(action[:, 0], action[:, 1])
    return action * np.minimum(1, MAX_STEP / np.maximum(length, 1e-12))[:, None]


def render(position: Floats, wall: Ints, door: Ints) -> Pixels:
    """What is seen: the agent as a dot, 255 * exp(-d^2 / (2 * 1.3^2)), and the wall and the border as 255.

    Args:
        position: ``[E, 2]``.
        wall: column of the wall's middle ``[E]``.
        door: row of the door's middle ``[E]``.

    Returns:
        uint8 ``[E, 2, 65, 65]``, channels first.
    """
    return np.stack([render_dots(position), render_walls(wall, door)], axis=1)


def render_dots(position: Floats) -> Pixels:
    """Agents ``[E, 2]`` as dots, uint8 ``[E, 65, 65]``."""
    near = np.exp(-((_PLACES - position[..., None]) ** 2) / (2 * DOT**2)).astype(np.float32)  # of x and y
    dots: Pixels = np.rint((255 * near[:, 1, :, None]) * near[:, 0, None, :]).astype(np.uint8)
    return dots


def render_walls(wall: Ints, door: Ints) -> Pixels:
    """Walls and border, uint8 ``[E, 65, 65]``."""
    columns = np.abs(_PLACES - wall[:, None]) <= WALL_COLUMNS // 2
    rows = np.abs(_PLACES - door[:, None]) > DOOR_ROWS // 2
    walls: Pixels = np.uint8(255) * ((rows[:, :, None] & columns[:, None, :]) | _BORDER)
    return walls


def is_free(position: Floats, wall: Ints, door: Ints) -> NDArray[np.bool_]:
    """Whether places ``[E, 2]`` are inside the border and outside of the wall, by the margin that agents keep."""
    free: NDArray[np.bool_] = np.all(np.abs(keep_margin(position, wall, door) - position) < 1e-9, axis=1)
    return free


def draw_start(generator: np.random.Generator, wall: int, side: int) -> Floats:
    """A place ``[2]`` in one of the rooms, at least 2.6 from its walls to the left and right.

    Args:
        generator: of the numbers.
        wall: column of the wall's middle.
        side: -1 for the room on the left, 1 for the other.
    """
    padding, face = 2.6, wall + side * WALL_COLUMNS / 2
    low, high = sorted((float(LINES[(side + 1) // 2]), face))
    x = generator.uniform(low + padding, high - padding)
    return np.array([x, generator.uniform(LINES[0] + MARGIN, LINES[1] - MARGIN)])
