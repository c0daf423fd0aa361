# E episodes, A dimension of an action, H W C height, width, channels of an observation
"""A world model and an environment that fit each other."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.modules import WorldModel
from jepa_lightning.planning import Bounds
from jepa_lightning.planning.episodes import SUCCESS, Scene

STEPS = 200  # of an episode, where the environment has no limit
ROUNDS = 100  # of drawing seeds whose episodes do not start at their goal


@dataclass
class Task:
    """A world model and E episodes of an environment.

    Attributes:
        name: of the environment.
        env: a vector environment of gymnasium.
        model: in eval mode.
        bounds: of actions, on the device of the model.
        frame_skip: actions of the environment for one step of the model.
        max_steps: actions of an episode at most.
    """

    name: str
    env: Any
    model: WorldModel
    bounds: Bounds
    frame_skip: int
    max_steps: int

    def unsolved_seeds(self, seed: int) -> list[int]:
        """Seeds from a first one on, without those whose episodes start at their goal."""
        seeds = [seed + i for i in range(self.env.num_envs)]
        following = seed + len(seeds)
        for _ in range(ROUNDS):
            _, info = self.env.reset(seed=seeds)
            solved = next(
                (np.asarray(info[name], bool) for name in SUCCESS if name in info), np.zeros(len(seeds), bool)
            )
            if not solved.any():
                return seeds
            for row in np.flatnonzero(solved):
                seeds[row], following = following, following + 1
        raise ValueError(f"episodes of {self.name} start at their goal, for {ROUNDS} seeds on end.")

    @property
    def has_expert(self) -> bool:
        """Whether the environment has one who knows the true state, and gives actions."""
        found = _of_each(self.env, "expert")
        return bool(found) and all(map(callable, found))

    def expert(self, scene: Scene) -> Tensor:
        """The expert's actions, ``[n, 1, A]``."""
        found = [act() for act in _of_each(self.env, "expert")]
        actions = torch.as_tensor(np.stack(found) if len(found) > 1 or found[0].ndim == 1 else found[0])
        return actions[scene.running][:, None].float()


def load_world_model(path: str, device: str) -> WorldModel:
    """The world model of a checkpoint, in eval mode.

    Raises:
        UsageError: if the device is none, or not there.
        ValueError: if it is a checkpoint of another class, or none.
    """
    try:
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UsageError(f"--device {device} is not there: give cpu, cuda, cuda:1 or auto.") from error
    return WorldModel.load_from_checkpoint(path, map_location="cpu").to(place).eval().requires_grad_(False)


def make_task(
    model: WorldModel,
    name: str,
    episodes: int,
    options: Mapping[str, Any],
    frame_skip: int,
    max_steps: int | None,
) -> Task:
    """Makes the environment, and compares it with the model.

    Raises:
        ImportError: if gymnasium, or the environment's package, is not installed.
        ValueError: if there is no such environment, or it has no images.
        UsageError: if it does not fit the model.
    """
    env = _make(name, episodes, options)
    try:
        _check_images(name, env.single_observation_space, model)
        bounds = _bounds(name, env, model, frame_skip)
        limit = _limit(env)
        if max_steps is not None and max_steps > limit:
            raise UsageError(f"--max_steps {max_steps}: episodes of {name} end after {limit}.")
    except BaseException:
        env.close()
        raise
    return Task(name, env, model, bounds, frame_skip, max_steps or limit)


def _make(name: str, episodes: int, options: Mapping[str, Any]) -> Any:
    if find_spec("gymnasium") is None:
        raise ModuleNotFoundError("planning needs gymnasium: pip install 'jepa_lightning[worlds]'", name="gymnasium")
    import gymnasium

    from jepa_lightning.worlds import make_world

    first = make_world(name, **options)
    spec = first.spec
    if spec is None or spec.vector_entry_point is None:
        return gymnasium.vector.SyncVectorEnv(
            [lambda: first, *(partial(make_world, name, **options) for _ in range(episodes - 1))]
        )
    first.close()
    return gymnasium.make_vec(spec.id, num_envs=episodes, **options)


def _limit(env: Any) -> int:
    """Actions of an episode."""
    spec = next((each.spec for each in (env, *getattr(env, "envs", ())) if each.spec is not None), None)
    return int(getattr(spec, "max_episode_steps", None) or STEPS)


def _check_images(name: str, space: Any, model: WorldModel) -> None:
    shape = space.shape
    if shape[2] != model.in_channels:
        raise UsageError(
            f"{name} gives images of {shape[2]} channels, and the checkpoint takes {model.in_channels}: plan in the "
            "environment that its data come from."
        )


def _bounds(name: str, env: Any, model: WorldModel, frame_skip: int) -> Bounds:
    space, size = env.single_action_space, model.actions.size
    own = space.shape[0]
    if own * frame_skip != size:
        hint = f": give --frame_skip {size // own} if each of its frames is as many actions after the one before"
        raise UsageError(
            f"the checkpoint takes actions of {size} numbers, and {name} has {own}"
            f"{f' in each of {frame_skip} steps' if frame_skip > 1 else ''}"
            f"{hint if size % own == 0 and size // own != frame_skip else ''}."
        )
    low, high = (torch.as_tensor(end, dtype=torch.float32, device=model.device) for end in (space.low, space.high))
    infinite = not bool((low.isfinite() & high.isfinite()).all())
    norms = {norm for norm in _of_each(env, "max_action_norm") if norm is not None}
    scale = model.actions.std[:own] if infinite else None
    return Bounds(low, high, float(min(norms)) if norms else None, scale)


def _of_each(env: Any, name: str) -> tuple[Any, ...]:
    """An attribute of a vector environment, or of all that it is made of; empty where there is none."""
    if hasattr(env, name):
        return (getattr(env, name),)
    try:
        return tuple(each.get_wrapper_attr(name) for each in getattr(env, "envs", ()))
    except AttributeError:
        return ()


def step_of(path: Path) -> int:
    """The step of a checkpoint."""
    from jepa_lightning.checkpoints import read_checkpoint

    return int(read_checkpoint(path).get("global_step", 0))
