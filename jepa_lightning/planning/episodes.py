# E episodes, n running ones, T frames, A dimension of an action, H W C height, width, channels of an observation
"""Episodes of a vector environment under a policy, until each has reached its goal or its time is over."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from jepa_lightning.planning.recording import Recording

SUCCESS = ("success", "is_success")  # names that environments have for it


class VectorEnv(Protocol):
    """The part of gymnasium's vector environments that is used; arrays are numpy's."""

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        """Observations ``[E, H, W, C]`` and infos."""

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Observations, rewards, terminated, truncated and infos after actions ``[E, A]``."""


class Scene(NamedTuple):
    """What a policy may look at.

    Attributes:
        running: int64 ``[n]``, numbers of the episodes that have not ended.
        frames: uint8 ``[n, T, H, W, C]``, all frames so far that the policy asked for, the present one last.
        actions: ``[n, T - 1, A]``, those that were executed between them.
        goals: uint8 ``[n, H, W, C]``, what is to be seen in the end.
        info: what the environment says about the true state, arrays of all E episodes; baselines alone look at it.
        steps_left: how many actions can still be executed.
    """

    running: Tensor
    frames: Tensor
    actions: Tensor
    goals: Tensor
    info: Mapping[str, Any]
    steps_left: int


Policy = Callable[[Scene], Tensor]  # the next k actions of each running episode, [n, k, A]


class Episodes(NamedTuple):
    """What became of E episodes.

    Attributes:
        success: bool ``[E]``.
        steps: int64 ``[E]``, actions until the goal or the end.
        goals: uint8 ``[E, H, W, C]``.
        frames: uint8 ``[K, T, H, W, C]`` of the first K episodes; those after the end of an episode say nothing.
        actions: ``[K, T - 1, A]`` of the same.
        positions: ``[K, T, P]``, and the goals ``[K, P]``, in the world's units; empty where it names none.
        goal_positions: see there.
    """

    success: Tensor
    steps: Tensor
    goals: Tensor
    frames: Tensor
    actions: Tensor
    positions: Tensor
    goal_positions: Tensor


def run_episodes(
    env: VectorEnv, policy: Policy, seeds: Sequence[int], max_steps: int, size: int, memory: int = 1, record: int = 0
) -> Episodes:
    """Runs one episode in each environment. An episode ends at its first success.

    Args:
        env: whose observations are images, and whose infos have ``goal_image``.
        policy: gives the next actions.
        seeds: of the episodes, which decide their starts and goals.
        max_steps: actions of an episode.
        size: A, the numbers of an action.
        memory: frames that the policy sees at most.
        record: K, episodes whose frames are returned.

    Raises:
        ValueError: if the observations are no images, an episode has no goal image, or starts at its goal.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from jepa_lightning.planning import run_episodes
        >>> class Steps:  # pixels grow by the action until they are 5
        ...     def reset(self, *, seed=None, options=None):
        ...         self.pixels = np.zeros((len(seed), 1, 1, 1), np.uint8)
        ...         return self.pixels, {"goal_image": self.pixels + np.uint8(5)}
        ...     def step(self, actions):
        ...         self.pixels = self.pixels + actions.astype(np.uint8)[:, :, None, None]
        ...         arrived = self.pixels[:, 0, 0, 0] >= 5
        ...         return self.pixels, 0, arrived, np.zeros_like(arrived), {}
        >>> def policy(scene):  # the next action of each running episode, and the one after it
        ...     return torch.ones(len(scene.running), 2, 1)
        >>> episodes = run_episodes(Steps(), policy, seeds=[0, 1, 2], max_steps=8, size=1)
        >>> episodes.success.tolist(), episodes.steps.tolist()
        ([True, True, True], [5, 5, 5])
    """
    observation, info = env.reset(seed=list(seeds))
    frames = [_images(observation)]
    goals = _goals(info, frames[0])
    solved = _success(info, torch.zeros(len(goals), dtype=torch.bool))
    if bool(solved.any()):
        raise ValueError(f"{int(solved.sum())} of {len(solved)} episodes start at their goal: choose other seeds.")
    log = Recording(record, frames[0], info)
    running, steps = ~solved, torch.zeros(len(solved), dtype=torch.int64)
    done: list[Tensor] = []
    queue: list[Tensor] = []
    for step in range(max_steps):
        if not bool(running.any()):
            break
        if not queue:
            owners = running.nonzero()[:, 0]
            scene = _scene(owners, frames[-memory:], done, goals, info, max_steps - step, size)
            queue = list(policy(scene).cpu().unbind(dim=1))
        actions = torch.zeros(len(goals), size)
        actions[owners] = queue.pop(0).to(actions)
        observation, _, terminated, truncated, info = env.step(actions.numpy())
        frames = [*frames[-memory:], _images(observation)]
        done = [*done[-memory:], actions]
        log.add(frames[-1], actions, info)
        steps += running
        arrived = running & _success(info, torch.as_tensor(terminated))
        solved |= arrived
        running &= ~(arrived | torch.as_tensor(terminated) | torch.as_tensor(truncated))
    return Episodes(solved, steps, goals, *log.stacked())


def _scene(
    running: Tensor, frames: list[Tensor], done: list[Tensor], goals: Tensor, info: Any, steps_left: int, size: int
) -> Scene:
    between = done[len(done) - len(frames) + 1 :]
    actions = torch.stack(between, dim=1)[running] if between else torch.zeros(len(running), 0, size)
    return Scene(running, torch.stack(frames, dim=1)[running], actions, goals[running], info, steps_left)


def _images(observation: Any) -> Tensor:
    """Observations as uint8 ``[E, H, W, C]``."""
    images = torch.as_tensor(observation) if hasattr(observation, "__array__") else torch.zeros(0)
    if images.ndim != 4 or images.dtype != torch.uint8:
        form = f"{images.dtype} {list(images.shape[1:])}" if hasattr(observation, "__array__") else "no single array"
        raise ValueError(f"observations are {form}, not images uint8 [H, W, C]: planning sees images alone.")
    return images.clone()  # environments may write the next ones over them


def _goals(info: Mapping[str, Any], frames: Tensor) -> Tensor:
    if "goal_image" not in info:
        raise ValueError("the environment has no info['goal_image']: there is nothing to plan for.")
    goals = _images(info["goal_image"])
    if goals.shape != frames.shape:
        sizes = f"{list(goals.shape[1:])}, and the observations {list(frames.shape[1:])}"
        raise ValueError(f"the goal images have the size {sizes}: both have to be alike.")
    return goals


def _success(info: Mapping[str, Any], default: Tensor) -> Tensor:
    name = next((name for name in SUCCESS if name in info), None)
    return default.bool() if name is None else torch.as_tensor(info[name]).bool().clone()
