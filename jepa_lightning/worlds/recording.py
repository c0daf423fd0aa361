# T frames, H W height and width, C channels, A numbers of an action, S numbers of a state
"""Episodes of a policy in an environment, as arrays."""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_lightning.worlds.images import ImageWorld

Policy = Literal["random", "expert"]


class Episode(NamedTuple):
    """What happened.

    Attributes:
        pixels: uint8 ``[T, H, W, C]``.
        action: float32 ``[T, A]``; action t is taken at frame t and leads to frame t + 1, and the last is NaN.
        state: float64 ``[T, S]``.
        reward: float32 ``[T]``, for action t; the last is NaN.
    """

    pixels: NDArray[np.uint8]
    action: NDArray[np.float32]
    state: NDArray[np.float64]
    reward: NDArray[np.float32]


def record(world: ImageWorld, policy: Policy, seed: int, max_steps: int) -> Episode:
    """Records an episode, which follows from the seed alone.

    Args:
        world: that is acted in.
        policy: "random" or "expert".
        seed: of the environment and of the actions.
        max_steps: after which the episode ends, where it has not ended before.

    Raises:
        ValueError: if there is no such policy in the environment, or an action that it gives is not finite.
    """
    act = choose(world, policy)
    image, info = world.reset(seed=seed)
    world.action_space.seed(seed)
    pixels, states, rewards = [image], [info["state"]], []
    actions: list[NDArray[np.float32]] = []
    for _ in range(max_steps):
        action = np.asarray(act(), np.float32)
        if not np.isfinite(action).all():
            raise ValueError(f"step {len(actions)} with seed {seed}: the {policy} policy gives the action {action}.")
        image, reward, terminated, truncated, info = world.step(action)
        pixels.append(image)
        states.append(info["state"])
        actions.append(action)
        rewards.append(float(reward))
        if terminated or truncated:
            break
    size = world.action_space.shape or ()
    last = np.full((1, *size), np.nan, np.float32)
    return Episode(
        np.stack(pixels),
        np.concatenate([np.stack(actions), last]),
        np.stack(states),
        np.array([*rewards, np.nan], np.float32),
    )


def choose(world: ImageWorld, policy: Policy) -> Callable[[], Any]:
    """A policy by name.

    An environment that has a method ``expert`` has an expert. One that has a method ``wander`` is wandered in by the
    random policy, and in all others it draws evenly from the action space.

    Raises:
        ValueError: if there is none of that name.
    """
    own = world.unwrapped
    name = own.spec.id if own.spec else type(own).__name__
    if policy == "expert":
        if not hasattr(own, "expert"):
            raise ValueError(f"{name} has no expert: use the random policy, or give the environment a method expert().")
        expert: Callable[[], Any] = own.expert
        return expert
    if policy != "random":
        raise ValueError(f"there is no policy {policy!r}: give random or expert.")
    wander: Callable[[], Any] = getattr(own, "wander", world.action_space.sample)
    return wander
