# E episodes, A dimension of an action, H W C height, width, channels of an observation
"""Makes environments by name, and compares them with the world model that is to plan in them."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from typing import Any

import torch

from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.task import Task, of_each

STEPS = 200  # of an episode, where the environment has no limit


def make_task(
    model: Any,
    name: str,
    episodes: int,
    options: Mapping[str, Any],
    frame_skip: int | None = None,
    max_steps: int | None = None,
) -> Task:
    """Makes the environment, and compares it with the model.

    Args:
        model: in eval mode, on its device. ``in_channels``, ``actions``, ``history`` and ``frame_skip`` are looked at
            where it has them, as a ``WorldModel`` does.
        name: of the environment, as for ``jepa_lightning.worlds.make_world``.
        episodes: E, all of which run at once.
        options: that the environment is made with.
        frame_skip: actions of the environment for one step of the model; None is the model's own, or 1 where it does
            not know.
        max_steps: actions of an episode; the environment's limit by default.

    Raises:
        ImportError: if gymnasium, or the environment's package, is not installed.
        ValueError: if there is no such environment, it has no images, or it does not fit the model.
    """
    env = _make(name, episodes, options)
    try:
        _check_images(name, env.single_observation_space, model)
        skip = frame_skip or getattr(model, "frame_skip", None) or 1
        bounds = _bounds(name, env, model, skip)
        limit = _limit(env)
        if max_steps is not None and max_steps > limit:
            raise ValueError(f"max_steps={max_steps}: episodes of {name} end after {limit}.")
    except BaseException:
        env.close()
        raise
    return Task(name, env, model, bounds, skip, max_steps or limit)


def with_model(task: Task, model: Any) -> Task:
    """The same episodes for another model.

    Raises:
        ValueError: if the environment does not fit it.
    """
    _check_images(task.name, task.env.single_observation_space, model)
    return replace(task, model=model, bounds=_bounds(task.name, task.env, model, task.frame_skip))


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


def _check_images(name: str, space: Any, model: Any) -> None:
    channels = getattr(model, "in_channels", space.shape[2])
    if space.shape[2] != channels:
        raise ValueError(
            f"{name} gives images of {space.shape[2]} channels, and the world model takes {channels}: plan in the "
            "environment that its data come from."
        )


def _bounds(name: str, env: Any, model: Any, frame_skip: int) -> Bounds:
    space, actions = env.single_action_space, getattr(model, "actions", None)
    own = space.shape[0]
    size = own * frame_skip if actions is None else actions.size
    if own * frame_skip != size:
        hint = f": set frame_skip to {size // own} if each of its frames is as many actions after the one before"
        raise ValueError(
            f"the world model takes actions of {size} numbers, and {name} has {own}"
            f"{f' in each of {frame_skip} steps' if frame_skip > 1 else ''}"
            f"{hint if size % own == 0 and size // own != frame_skip else ''}."
        )
    low, high = (torch.as_tensor(end, dtype=torch.float32, device=model.device) for end in (space.low, space.high))
    infinite = not bool((low.isfinite() & high.isfinite()).all())
    norms = {norm for norm in of_each(env, "max_action_norm") if norm is not None}
    scale = actions.std[:own] if infinite and actions is not None else None
    return Bounds(low, high, float(min(norms)) if norms else None, scale)
