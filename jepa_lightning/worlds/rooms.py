# E rooms side by side
"""The state of two rooms, many at once, and what happens in them; environments are thin layers around it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jepa_lightning.worlds.layouts import Layouts, layouts_of
from jepa_lightning.worlds.reset_options import check_place, read_options
from jepa_lightning.worlds.two_rooms import CHANNELS, REACHED, SIZE, Pixels, draw_start, move, render_dots, render_walls


class Rooms:
    """Two rooms with an agent and a goal, E times side by side. Each has a generator of its own.

    Args:
        number: E.
        layouts: which layouts are drawn, as in ``layouts_of``.

    Attributes:
        position: of the agents ``[E, 2]``.
        goal: ``[E, 2]``.
        wall: column of the wall's middle ``[E]``.
        door: row of the door's middle ``[E]``.
    """

    def __init__(self, number: int, layouts: Layouts) -> None:
        self._known = layouts_of(layouts)
        self.position, self.goal = np.zeros((number, 2)), np.zeros((number, 2))
        self.wall, self.door = np.zeros(number, np.int64), np.zeros(number, np.int64)
        self._walls: Pixels = np.zeros((number, SIZE, SIZE), np.uint8)
        self._goal_image: Pixels = np.zeros((number, SIZE, SIZE, CHANNELS), np.uint8)

    def __len__(self) -> int:
        """E."""
        return len(self.position)

    def reset(
        self,
        generators: Sequence[np.random.Generator],
        options: Mapping[str, Any] | None,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        """Draws layouts, starts and goals, which are in different rooms; what the options give is taken instead.

        Args:
            generators: one a room.
            options: position, goal, wall and door.
            rows: the rooms that are reset; None resets all.

        Raises:
            ValueError: if an option is not known or out of its range. Then nothing was changed.
        """
        given = read_options(options, len(self))
        state = {"position": self.position, "goal": self.goal, "wall": self.wall, "door": self.door}
        drawn = {name: array.copy() for name, array in state.items()}
        rows = np.arange(len(self)) if rows is None else rows
        for name in given:
            drawn[name][rows] = given[name][rows]
        for row in rows:
            self._draw(generators[row], {name: array[row] for name, array in drawn.items()}, drawn, row, given)
        for name in ("position", "goal"):
            check_place(name, drawn[name][rows], drawn["wall"][rows], drawn["door"][rows])
        for name, array in state.items():
            array[:] = drawn[name]
        self._walls = render_walls(self.wall, self.door)
        self._goal_image = np.stack([render_dots(self.goal), self._walls], axis=-1)

    def _draw(
        self,
        generator: np.random.Generator,
        now: dict[str, Any],
        drawn: dict[str, Any],
        row: int,
        given: Mapping[str, Any],
    ) -> None:
        """Draws what is not given for one room; the numbers drawn do not depend on what is given."""
        layout = dict(zip(("wall", "door"), self._known[generator.integers(len(self._known))], strict=True))
        wall, door = (int(now[name] if name in given else layout[name]) for name in ("wall", "door"))
        side = 1 if generator.random() < 0.5 else -1
        if "position" in given:
            side = 1 if now["position"][0] > wall else -1
        elif "goal" in given:
            side = -1 if now["goal"][0] > wall else 1
        places = {"position": draw_start(generator, wall, side), "goal": draw_start(generator, wall, -side)}
        for name, value in ({"wall": wall, "door": door} | places).items():
            if name not in given:
                drawn[name][row] = value

    def step(self, action: NDArray[Any], noise: NDArray[np.float64]) -> None:
        """Moves the agents by actions ``[E, 2]``; noise ``[E]`` is how far they are pushed back from walls."""
        self.position = move(self.position, np.asarray(action, np.float64), self.wall, self.door, noise)

    @property
    def distance(self) -> NDArray[np.float64]:
        """Of the agents from their goals ``[E]``."""
        apart = self.position - self.goal
        return np.hypot(apart[:, 0], apart[:, 1])

    @property
    def reached(self) -> NDArray[np.bool_]:
        """Whether an agent is less than 4.5 from its goal ``[E]``."""
        return np.less(self.distance, REACHED)

    def look(self) -> Pixels:
        """What is seen, uint8 ``[E, 65, 65, 2]``."""
        return np.stack([render_dots(self.position), self._walls], axis=-1)

    def look_from_goal(self) -> Pixels:
        """What would be seen with the agents at their goals, uint8 ``[E, 65, 65, 2]``."""
        return np.array(self._goal_image)
