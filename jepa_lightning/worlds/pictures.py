# E rooms, S times as large
"""Two rooms in colors, for people to look at."""

import numpy as np
from numpy.typing import NDArray

from jepa_lightning.worlds.rooms import Rooms
from jepa_lightning.worlds.two_rooms import REACHED, SIZE, Pixels

SCALE = 4
RED, GREEN = np.array([200.0, 30.0, 40.0]), np.array([40.0, 150.0, 70.0])


def draw_rooms(rooms: Rooms) -> Pixels:
    """The agent in red, what counts as the goal as a green circle, and walls in black: uint8 ``[E, 260, 260, 3]``."""
    walls = np.repeat(np.repeat(rooms.look()[..., 1], SCALE, axis=1), SCALE, axis=2)
    picture = np.repeat(255.0 - walls[..., None], 3, axis=-1)
    places = (np.arange(SIZE * SCALE) + 0.5) / SCALE - 0.5
    circle = np.clip(1.5 - SCALE * np.abs(_distances(rooms.goal, places) - REACHED), 0, 1)
    dot = np.clip(0.5 + SCALE * (1.8 - _distances(rooms.position, places)), 0, 1)
    for cover, color in ((circle, GREEN), (dot, RED)):
        picture += cover[..., None] * (color - picture)
    return np.rint(picture).astype(np.uint8)


def _distances(centers: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of all pixels from places ``[E, 2]``, ``[E, H, W]``."""
    across, along = (places - centers[:, axis, None] for axis in (0, 1))
    return np.hypot(across[:, None, :], along[:, :, None])
