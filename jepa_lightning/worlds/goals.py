"""What is to be reached in environments of others, and what is to be seen there."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

Info = dict[str, Any]

# of LeWorldModel and DINO-WM, in units of a window of 512, and in radians
BLOCK_PLACE, BLOCK_ANGLE = 20.0, np.pi / 9


@dataclass(frozen=True)
class Goal:
    """The goal of an environment's episodes.

    Attributes:
        reached: moves an environment to its goal, gives what is observed there, and puts all back at the end.
        told: gives ``position``, ``goal`` and ``success`` from an observation and its info.
    """

    reached: Callable[[gymnasium.Env[Any, Any]], AbstractContextManager[Any]]
    told: Callable[[Any, Info], Info]


@contextmanager
def _block_at_its_goal(env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
    """PushT with the block in its zone, and the agent where it starts."""
    own: Any = env.unwrapped
    before = own.block.position, own.block.angle
    _place(own.block, own.goal_pose[:2].tolist(), float(own.goal_pose[2]))
    try:
        yield own.get_obs()
    finally:
        _place(own.block, *before)


def _place(body: Any, position: Any, angle: float) -> None:
    body.angle = angle  # first, since a turn around the center of mass moves the position
    body.position = position
    body.space.reindex_shapes_for_body(body)  # or it is drawn where it was


def _block_told(observation: Any, info: Info) -> Info:
    block, goal = np.asarray(info["block_pose"], np.float64), np.asarray(info["goal_pose"], np.float64)
    turn = abs((block[2] - goal[2] + np.pi) % (2 * np.pi) - np.pi)
    near = np.linalg.norm(block[:2] - goal[:2]) < BLOCK_PLACE
    return {"position": block[:2], "goal": goal[:2], "success": bool(near and turn < BLOCK_ANGLE)}


@contextmanager
def _ball_at_its_goal(env: gymnasium.Env[Any, Any]) -> Iterator[Any]:
    """PointMaze with the ball at rest at its goal."""
    own: Any = env.unwrapped
    before = own.data.qpos.copy(), own.data.qvel.copy()
    own.point_env.set_state(np.array(own.goal, np.float64), np.zeros_like(before[1]))
    try:
        yield None  # it is drawn
    finally:
        own.point_env.set_state(*before)


def _ball_told(observation: Any, info: Info) -> Info:
    places = {"position": observation["achieved_goal"], "goal": observation["desired_goal"]}
    return {name: np.array(place, np.float64) for name, place in places.items()}


PUSH_T = Goal(_block_at_its_goal, _block_told)
POINT_MAZE = Goal(_ball_at_its_goal, _ball_told)
