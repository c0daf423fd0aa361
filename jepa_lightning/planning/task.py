# E episodes, A dimension of an action, H W C height, width, channels of an observation
"""A world model and an environment that fit each other."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jepa_lightning.planning.base import Planner
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.control import PlanningPolicy
from jepa_lightning.planning.draws import episode_generators
from jepa_lightning.planning.episodes import SUCCESS, Episodes, Policy, Scene, run_episodes
from jepa_lightning.planning.latent import Reduce

ROUNDS = 100  # of drawing seeds whose episodes do not start at their goal


class Control(NamedTuple):
    """How plans are made and executed: see ``PlanningPolicy``."""

    planner: Planner
    replan_every: int
    reduce: Reduce = "sum"
    warm_start: bool = True


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
    model: Any
    bounds: Bounds
    frame_skip: int
    max_steps: int

    @property
    def history(self) -> int:
        """States that a prediction of the model depends on, the last one included."""
        return int(getattr(self.model, "history", 1))

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

    def policy(self, control: Control, seed: int) -> PlanningPolicy:
        """What plans with the model.

        Args:
            control: how.
            seed: of the random numbers of all episodes.

        Raises:
            ValueError: if horizon or replanning do not fit each other or the frame skip.
        """
        return PlanningPolicy(
            self.model,
            control.planner,
            self.bounds,
            episode_generators(seed, self.env.num_envs),
            control.replan_every,
            control.reduce,
            control.warm_start,
            self.history,
            self.frame_skip,
        )

    def run(self, policy: Policy, seeds: list[int], memory: int = 1, record: int = 0) -> Episodes:
        """Runs all episodes under a policy: see ``run_episodes``."""
        return run_episodes(self.env, policy, seeds, self.max_steps, self.bounds.size, memory, record)

    @property
    def has_expert(self) -> bool:
        """Whether the environment has one who knows the true state, and gives actions."""
        found = of_each(self.env, "expert")
        return bool(found) and all(map(callable, found))

    def expert(self, scene: Scene) -> Tensor:
        """The expert's actions, ``[n, 1, A]``."""
        found = [act() for act in of_each(self.env, "expert")]
        actions = torch.as_tensor(np.stack(found) if len(found) > 1 or found[0].ndim == 1 else found[0])
        return actions[scene.running][:, None].float()


def of_each(env: Any, name: str) -> tuple[Any, ...]:
    """An attribute of a vector environment, or of all that it is made of; empty where there is none."""
    if hasattr(env, name):
        return (getattr(env, name),)
    try:
        return tuple(each.get_wrapper_attr(name) for each in getattr(env, "envs", ()))
    except AttributeError:
        return ()
