"""Environments by name, seen in images."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np

from jepa_lightning.worlds.goals import POINT_MAZE, PUSH_T, Goal, Info
from jepa_lightning.worlds.images import ImageWorld, StateOf


def _push_t_state(observation: Any, info: Info) -> Any:
    """The agent's place, the block's place and angle, and the agent's velocity, 7 numbers."""
    return np.concatenate([info["pos_agent"], info["block_pose"], info["vel_agent"]])


def _point_maze_state(observation: Any, info: Info) -> Any:
    """Place and velocity, 4 numbers."""
    return observation["observation"]


@dataclass(frozen=True)
class _World:
    """An environment with a short name.

    Attributes:
        id: of gymnasium.
        module: which registers it, and is named as its package.
        options: which it is made with, unless others are given.
        state: gives its state.
        goal: of its episodes, where it does not show it by itself.
    """

    id: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    state: StateOf | None = None
    goal: Goal | None = None

    @property
    def package(self) -> str:
        """The name to install."""
        return self.module.replace("_", "-")


WORLDS = {
    "TwoRooms": _World("jepa_lightning/TwoRooms-v0", "jepa_lightning.worlds"),
    "PushT": _World("gym_pusht/PushT-v0", "gym_pusht", {"obs_type": "pixels"}, _push_t_state, PUSH_T),
    "PointMaze": _World(
        "PointMaze_UMaze-v3", "gymnasium_robotics", {"width": 96, "height": 96}, _point_maze_state, POINT_MAZE
    ),
}


def make_world(name: str, **options: Any) -> ImageWorld:
    """An environment of gymnasium, seen in images.

    Args:
        name: "TwoRooms", "PushT" (gym-pusht) or "PointMaze" (gymnasium-robotics), or what ``gymnasium.make`` takes: an
            id, or ``module:id`` where a module is to be imported before.
        options: that the environment is made with.

    Raises:
        ImportError: if the package of the environment is not installed.
        ValueError: if there is no such environment, it does not take the options, or it has no images.

    Example:
        >>> from jepa_lightning.worlds import make_world
        >>> env = make_world("TwoRooms", layouts="train")
        >>> env.observation_space.shape, env.action_space.shape
        ((65, 65, 2), (2,))
    """
    world = _known(name)
    if world is not None:
        if find_spec(world.module) is None:
            raise ImportError(f"{name} needs {world.package}: pip install {world.package}", name=world.module)
        if world.module == "gymnasium_robotics" and not {"DISPLAY", "MUJOCO_GL"} & os.environ.keys():
            os.environ["MUJOCO_GL"] = "egl"  # MuJoCo looks for a display otherwise
        import_module(world.module)
        options = {**world.options, **options}
    env = _made(world.id if world else name, options)
    try:
        return ImageWorld(env, *((world.state, world.goal) if world else ()))
    except gymnasium.error.DependencyNotInstalled as error:  # found out where the first image is drawn
        env.close()
        raise ImportError(f"{name} needs a package that is not installed: {_line(error)}") from None


def _known(name: str) -> _World | None:
    return WORLDS.get(name) or next((each for each in WORLDS.values() if each.id == name), None)


def _made(name: str, options: Mapping[str, Any]) -> gymnasium.Env[Any, Any]:
    module, _, own = name.rpartition(":")
    try:
        if module:
            import_module(module)
        draws: dict[str, Any] = {} if "render_mode" in options else _drawing(gymnasium.spec(own).entry_point)
        return gymnasium.make(own, **draws, **options)
    except gymnasium.error.DependencyNotInstalled as error:
        raise ImportError(f"{name} needs a package that is not installed: {_line(error)}") from None
    except (gymnasium.error.Error, ModuleNotFoundError) as error:
        raise ValueError(f"there is no environment {name!r}: {_line(error)}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} cannot be made with {dict(options)}: {_line(error)}") from None


def _drawing(entry_point: Any) -> dict[str, str]:
    """The option with which an environment draws images, if it can."""
    creator = gymnasium.envs.registration.load_env_creator(entry_point) if isinstance(entry_point, str) else entry_point
    modes = getattr(creator, "metadata", {}).get("render_modes", ())
    return {"render_mode": "rgb_array"} if "rgb_array" in modes else {}


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
