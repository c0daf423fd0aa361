"""``jepa_lightning/TwoRooms-v0``: one agent in two rooms, as an environment of gymnasium."""

from typing import Any, Literal

import gymnasium
import numpy as np
from numpy.typing import NDArray

from jepa_lightning.worlds.layouts import Layouts
from jepa_lightning.worlds.pictures import draw_rooms
from jepa_lightning.worlds.policies import Wanderer, expert_action
from jepa_lightning.worlds.rooms import Rooms
from jepa_lightning.worlds.two_rooms import CHANNELS, MAX_STEP, SIZE, Pixels

Info = dict[str, Any]


def spaces() -> tuple[gymnasium.spaces.Box, gymnasium.spaces.Box]:
    """Of what is seen, uint8 ``[65, 65, 2]``, and of actions, displacements in pixels ``[2]``."""
    return (
        gymnasium.spaces.Box(0, 255, (SIZE, SIZE, CHANNELS), np.uint8),
        gymnasium.spaces.Box(-MAX_STEP, MAX_STEP, (2,), np.float32),
    )


class TwoRooms(gymnasium.Env[Any, Any]):
    """An agent is to go to a goal in the other room, through the door.

    Seen are two channels: the agent as a dot, and the walls. An action is a displacement in pixels; a longer one than
    2.45 is shortened. An episode ends less than 4.5 from the goal, with reward 1, or after 200 steps. Two rooms of
    arXiv 2602.03604, with a swept collision test.

    ``reset`` takes the options ``position`` and ``goal`` (x and y in pixels), ``wall`` (its column, 20 to 44) and
    ``door`` (its row, 10 to 54), and draws what is not given. ``info`` has these four, ``distance`` from the goal,
    ``success``, and ``goal_image``, what would be seen at the goal.

    Args:
        layouts: which walls and doors are drawn: "test", of which none is in the data for training; "train" or "val",
            of which `TwoRoomsDataModule` has all; "all"; or "fixed", with the wall at 32 and the door at 18.
        render_mode: "rgb_array" for pictures of 260 by 260 pixels.

    Example:
        >>> import gymnasium
        >>> import jepa_lightning.worlds
        >>> env = gymnasium.make("jepa_lightning/TwoRooms-v0")
        >>> image, info = env.reset(seed=0, options={"position": (10, 20), "goal": (50, 30), "wall": 32, "door": 18})
        >>> image.shape, info["position"].tolist()
        ((65, 65, 2), [10.0, 20.0])
        >>> image, reward, terminated, truncated, info = env.step([2, 0])
        >>> info["position"].tolist(), info["success"]
        ([12.0, 20.0], False)
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 20}  # noqa: RUF012 - as gymnasium declares it
    max_action_norm = MAX_STEP  # what planners take for the longest action

    def __init__(self, layouts: Layouts = "test", render_mode: Literal["rgb_array"] | None = None) -> None:
        if render_mode not in (None, "rgb_array"):
            raise ValueError(f"two rooms have no render_mode={render_mode!r}: give 'rgb_array' or None.")
        self.observation_space, self.action_space = spaces()
        self.render_mode = render_mode
        self.rooms = Rooms(1, layouts)
        self._wanderer: Wanderer | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Pixels, Info]:
        """Starts an episode.

        Raises:
            ValueError: if an option is not known, or is out of its range.
        """
        super().reset(seed=seed)
        self.rooms.reset([self.np_random], options)
        self._wanderer = None
        return self.rooms.look()[0], self._info()

    def step(self, action: NDArray[np.float32]) -> tuple[Pixels, float, bool, bool, Info]:
        """Moves the agent.

        Raises:
            ValueError: if the action is not two finite numbers.
        """
        moves = np.asarray(action, np.float64)
        if moves.shape != (2,) or not np.isfinite(moves).all():
            raise ValueError(f"an action in two rooms is two finite numbers, and was {action!r}.")
        self.rooms.step(moves[None], self.np_random.standard_normal(1))
        reached = bool(self.rooms.reached[0])
        return self.rooms.look()[0], float(reached), reached, False, self._info()

    def render(self) -> Pixels | None:
        """The rooms in colors, uint8 ``[260, 260, 3]``."""
        return draw_rooms(self.rooms)[0] if self.render_mode else None

    def expert(self) -> NDArray[np.float32]:
        """The action of one who knows the way: to the door, then to the goal."""
        rooms = self.rooms
        (action,) = expert_action(rooms.position, rooms.goal, rooms.wall, rooms.door).astype(np.float32)
        return np.asarray(action)

    def wander(self) -> NDArray[np.float32]:
        """The action of one who keeps a direction for some time and knows no goal."""
        if self._wanderer is None:
            self._wanderer = Wanderer(self.np_random)
        return self._wanderer().astype(np.float32)

    def _info(self) -> Info:
        return {name: value[0] for name, value in infos(self.rooms).items()} | {"success": bool(self.rooms.reached[0])}


def infos(rooms: Rooms) -> Info:
    """What ``info`` has, an array with a row a room each."""
    return {
        "position": rooms.position.copy(),
        "goal": rooms.goal.copy(),
        "wall": rooms.wall.copy(),
        "door": rooms.door.copy(),
        "distance": rooms.distance,
        "success": rooms.reached,
        "goal_image": rooms.look_from_goal(),
    }
