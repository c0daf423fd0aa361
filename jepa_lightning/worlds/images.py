# H W height and width, C channels, S numbers of a state
"""Any environment as one that is seen in images: by what it observes, or by what it draws."""

from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from jepa_lightning.worlds.goals import Goal, Info

StateOf = Callable[[Any, Info], Any]  # of an observation and its info


class ImageWorld(gymnasium.Wrapper[Any, Any, Any, Any]):
    """An environment whose observations are images uint8 ``[H, W, C]``, and whose ``info["state"]`` is a vector.

    The image is the observation, or an entry of it, or else what the environment draws (``render_mode="rgb_array"``).
    The state is ``info["position"]`` where there is one, or else the numbers that are observed beside the image.

    Args:
        env: with continuous actions (``Box``).
        state: gives the state from an observation and its info, where it is another.
        goal: of the episodes, where the environment does not say itself what is to be seen: ``info`` then has
            ``goal_image``, ``position``, ``goal`` and ``success``.

    Raises:
        ValueError: if it has no images, or other actions.

    Example:
        >>> import gymnasium
        >>> import jepa_lightning.worlds
        >>> from jepa_lightning.worlds import ImageWorld
        >>> env = ImageWorld(gymnasium.make("jepa_lightning/TwoRooms-v0"))
        >>> image, info = env.reset(seed=0, options={"position": (10, 20)})
        >>> image.shape, info["state"].tolist()
        ((65, 65, 2), [10.0, 20.0])
    """

    def __init__(self, env: gymnasium.Env[Any, Any], state: StateOf | None = None, goal: Goal | None = None) -> None:
        super().__init__(env)
        name = env.spec.id if env.spec else type(env.unwrapped).__name__
        if not isinstance(env.action_space, spaces.Box) or len(env.action_space.shape) != 1:
            raise ValueError(f"{name} has actions {env.action_space}, and those of a world model are vectors (Box).")
        self._key = image_key(env.observation_space)
        self._state, self._goal = state, goal
        self._goal_info: Info = {}
        if self._key is None and env.render_mode != "rgb_array":
            raise ValueError(
                f"{name} has no images: it observes {_short(env.observation_space)}, and does not draw them "
                "(render_mode='rgb_array')."
            )
        if self._key is not None:
            space: Any = env.observation_space if self._key == "" else env.observation_space[self._key]  # type: ignore[index]
            shape = (*space.shape, 1)[:3]
            self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        else:  # the size of what is drawn is known when it is drawn
            env.reset(seed=0)
            self.observation_space = spaces.Box(0, 255, self._drawn().shape, np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """The first image."""
        observation, info = self.env.reset(seed=seed, options=options)
        if self._goal is not None:
            with self._goal.reached(self.env) as found:
                self._goal_info = {"goal_image": self._image(found)}
        return self._seen(observation, info)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, Info]:
        """The next image."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        image, info = self._seen(observation, info)
        return image, reward, terminated, truncated, info

    def _seen(self, observation: Any, info: Info) -> tuple[NDArray[np.uint8], Info]:
        image = self._image(observation)
        found = self._state(observation, info) if self._state else _own_state(observation, info, self._key)
        info = info | {"state": np.asarray(found, np.float64).reshape(-1)}
        return image, info if self._goal is None else info | self._goal.told(observation, info) | self._goal_info

    def _image(self, observation: Any) -> NDArray[np.uint8]:
        if self._key is None:
            return self._drawn()
        image = np.asarray(observation if self._key == "" else observation[self._key])
        return image[..., None] if image.ndim == 2 else image

    def _drawn(self) -> NDArray[np.uint8]:
        image = np.asarray(self.env.render())
        if image.ndim != 3 or image.dtype != np.uint8:
            raise ValueError(f"{self.env} draws {image.dtype} {list(image.shape)}, and images are uint8 [H, W, C].")
        return np.array(image)


def image_key(space: spaces.Space[Any]) -> str | None:
    """Where the image is: "" for the observation itself, the name of an entry, or None without one."""
    if _is_image(space):
        return ""
    entries = space.spaces if isinstance(space, spaces.Dict) else {}
    return next((name for name, entry in entries.items() if _is_image(entry)), None)


def _is_image(space: Any) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def _own_state(observation: Any, info: Info, key: str | None) -> Any:
    """Where an agent is, or the numbers of an observation beside its image, in the order of their names."""
    if "position" in info:
        return info["position"]
    if key == "":
        return []
    entries = observation if isinstance(observation, Mapping) else {"": observation}
    numbers = [np.asarray(entries[name], np.float64).reshape(-1) for name in sorted(entries) if name != key]
    return np.concatenate(numbers) if numbers else []


def _short(space: Any) -> str:
    text = " ".join(str(space).split())
    return text if len(text) <= 80 else f"{text[:77]}..."
