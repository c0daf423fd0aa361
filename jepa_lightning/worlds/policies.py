# E rooms side by side
"""Who acts in two rooms: one that wanders, and one that knows the way."""

import numpy as np

from jepa_lightning.worlds.collision import HALF_DOOR, HALF_WALL
from jepa_lightning.worlds.two_rooms import Floats, Ints, shortened

TURN = 5.0  # concentration (kappa) of the change of heading in a step
LENGTHS = (0.2, 1.8)  # of steps: a normal distribution of mean 1 and std 0.4, cut to this range
GATE = 4.5  # distance from the wall's middle at which the way through the door begins and ends


def draw_lengths(generator: np.random.Generator, number: int) -> Floats:
    """Lengths of steps, from a normal distribution cut to its range."""
    found = np.empty(0)
    while len(found) < number:
        lengths = generator.normal(1.0, 0.4, size=number + 32)
        found = np.concatenate([found, lengths[(lengths >= LENGTHS[0]) & (lengths <= LENGTHS[1])]])
    return found[:number]


class Wanderer:
    """A policy that keeps its direction for some time: the steps of EB-JEPA's data (arXiv 2602.03604).

    Args:
        generator: of its steps.

    Example:
        >>> import numpy as np
        >>> from jepa_lightning.worlds.policies import Wanderer
        >>> action = Wanderer(np.random.default_rng(0))()
        >>> action.shape, bool(0.2 <= np.hypot(*action) <= 1.8)
        ((2,), True)
    """

    def __init__(self, generator: np.random.Generator) -> None:
        self._generator = generator
        self._heading: float | None = None

    def __call__(self) -> Floats:
        """The next action ``[2]``."""
        if self._heading is None:
            self._heading = self._generator.uniform(-np.pi, np.pi)
        else:
            self._heading += self._generator.vonmises(0.0, TURN)
        return np.array([np.cos(self._heading), np.sin(self._heading)]) * draw_lengths(self._generator, 1)


def expert_action(position: Floats, goal: Floats, wall: Ints, door: Ints) -> Floats:
    """The step of one who knows the way: straight to the door where the goal is in the other room, then to the goal.

    Args:
        position: of the agents ``[E, 2]``.
        goal: where they want to be ``[E, 2]``.
        wall: column of the wall's middle ``[E]``.
        door: row of the door's middle ``[E]``.

    Returns:
        Actions ``[E, 2]`` of at most the length 2.45; none meets a wall.
    """
    across, along = position[:, 0] - wall, position[:, 1] - door
    beyond = goal[:, 0] - wall
    in_wall, goal_in_wall = np.abs(across) <= HALF_WALL, np.abs(beyond) <= HALF_WALL
    same_room = (across * beyond > 0) & ~in_wall & ~goal_in_wall
    at_door = in_wall | ((np.abs(along) <= HALF_DOOR / 2) & (np.abs(across) <= GATE + 1e-6))
    near = np.stack([wall + np.copysign(GATE, across), door], axis=1)
    far = np.where(goal_in_wall[:, None], goal, np.stack([wall + np.copysign(GATE, beyond), door], axis=1))
    target = np.where(same_room[:, None], goal, np.where(at_door[:, None], far, near))
    return shortened(target - position)
