# E rooms side by side
"""``jepa_lightning/TwoRooms-v0`` many times at once, in one call of numpy a step."""

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from jepa_lightning.worlds.layouts import Layouts
from jepa_lightning.worlds.pictures import draw_rooms
from jepa_lightning.worlds.policies import expert_action
from jepa_lightning.worlds.rooms import Rooms
from jepa_lightning.worlds.two_rooms import MAX_STEP, Pixels
from jepa_lightning.worlds.two_rooms_env import Info, infos, spaces


class TwoRoomsVector(gymnasium.vector.VectorEnv[Pixels, NDArray[np.float32], NDArray[Any]]):
    """Many pairs of rooms; each is what ``TwoRooms`` is with the same seed.

    An environment whose episode has ended stays as it is, agent and all, until it is reset:
    ``reset(options={"reset_mask": mask})``, with one bool an environment. ``info`` has arrays with a row each.

    Args:
        num_envs: how many.
        layouts: as in ``TwoRooms``.
        render_mode: as in ``TwoRooms``.
        max_episode_steps: after which an episode ends.

    Example:
        >>> import gymnasium, numpy
        >>> import jepa_lightning.worlds
        >>> env = gymnasium.make_vec("jepa_lightning/TwoRooms-v0", num_envs=32)
        >>> images, infos = env.reset(seed=0)
        >>> images, rewards, terminated, truncated, infos = env.step(numpy.zeros((32, 2)))
        >>> images.shape, infos["goal_image"].shape
        ((32, 65, 65, 2), (32, 65, 65, 2))
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - as gymnasium declares it
        "render_modes": ["rgb_array"],
        "render_fps": 20,
        "autoreset_mode": AutoresetMode.DISABLED,
    }
    max_action_norm = MAX_STEP

    def __init__(
        self,
        num_envs: int = 1,
        layouts: Layouts = "test",
        render_mode: Literal["rgb_array"] | None = None,
        max_episode_steps: int = 200,
    ) -> None:
        self.num_envs, self.render_mode, self.max_episode_steps = num_envs, render_mode, max_episode_steps
        self.single_observation_space, self.single_action_space = spaces()
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.rooms = Rooms(num_envs, layouts)
        self._steps = np.zeros(num_envs, np.int64)
        self._ended = np.zeros(num_envs, bool)
        self._generators = [np.random.default_rng() for _ in range(num_envs)]

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Pixels, Info]:
        """Starts episodes, those of ``options["reset_mask"]`` or all.

        Args:
            seed: of the first environment, and one more for each of the others; or one for each.
            options: as those of ``TwoRooms``, one value for all environments or one for each; and ``reset_mask``.

        Raises:
            ValueError: if there are not as many seeds as environments, or an option is wrong.
        """
        places = dict(options or {})
        mask = np.asarray(places.pop("reset_mask", np.ones(self.num_envs, bool)))
        if mask.shape != (self.num_envs,) or mask.dtype != bool:
            raise ValueError(f"reset: reset_mask must have a bool for each of the {self.num_envs} environments.")
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed or [None] * self.num_envs
        if len(seeds) != self.num_envs:
            raise ValueError(f"reset: {len(seeds)} seeds were given for {self.num_envs} environments.")
        for row in map(int, np.flatnonzero(mask)):
            if seeds[row] is not None:
                self._generators[row], _ = gymnasium.utils.seeding.np_random(seeds[row])
        self.rooms.reset(self._generators, places, np.flatnonzero(mask))
        self._steps[mask], self._ended[mask] = 0, False
        return self.rooms.look(), infos(self.rooms)

    def step(
        self, actions: NDArray[Any]
    ) -> tuple[Pixels, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Moves the agents whose episodes have not ended.

        Raises:
            ValueError: if the actions are not two finite numbers an environment.
        """
        moves = np.asarray(actions, np.float64)
        if moves.shape != (self.num_envs, 2) or not np.isfinite(moves).all():
            raise ValueError(
                f"actions in {self.num_envs} times two rooms are finite numbers [{self.num_envs}, 2], and were of "
                f"shape {list(moves.shape)}{'' if np.isfinite(moves).all() else ', some of them not finite'}."
            )
        running = ~self._ended
        noise = np.array(
            [g.standard_normal() if runs else 0.0 for g, runs in zip(self._generators, running, strict=True)]
        )
        before = self.rooms.position
        self.rooms.step(moves, noise)
        self.rooms.position = np.where(running[:, None], self.rooms.position, before)
        self._steps += running
        terminated, truncated = self.rooms.reached, self._steps >= self.max_episode_steps
        self._ended = terminated | truncated
        return self.rooms.look(), (terminated & running).astype(np.float64), terminated, truncated, infos(self.rooms)

    def expert(self) -> NDArray[np.float32]:
        """The actions ``[num_envs, 2]`` of one who knows the way, as those of ``TwoRooms``."""
        rooms = self.rooms
        return expert_action(rooms.position, rooms.goal, rooms.wall, rooms.door).astype(np.float32)

    def render(self) -> tuple[Pixels, ...] | None:
        """The rooms in colors, one picture uint8 ``[260, 260, 3]`` an environment."""
        return tuple(draw_rooms(self.rooms)) if self.render_mode else None
