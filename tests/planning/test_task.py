from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.planning import CEM, Bounds, PlanningPolicy, episode_generators, run_episodes
from jepa_lightning.planning.task import Control, Task, of_each


class Wanted:
    """A vector environment whose episodes of even seeds start at their goal."""

    num_envs = 4

    def __init__(self, solved: str = "even") -> None:
        self.solved = solved

    def reset(self, *, seed: Any, options: Any = None) -> Any:
        self.seeds = list(seed)
        return None, {"success": np.array([self.solved == "all" or each % 2 == 0 for each in seed])}


def task(env: Any, model: Any = None) -> Task:
    return Task("World", env, model, Bounds(-torch.ones(2), torch.ones(2)), frame_skip=1, max_steps=7)


def test_seeds_whose_episodes_are_solved_are_replaced_by_those_that_follow() -> None:
    assert task(Wanted()).unsolved_seeds(3) == [3, 7, 5, 9]
    with pytest.raises(ValueError, match="episodes of World start at their goal, for 100 seeds on end"):
        task(Wanted("all")).unsolved_seeds(0)


def test_an_environment_without_success_is_never_solved() -> None:
    env = Wanted()
    env.reset = lambda seed, options=None: (None, {})  # type: ignore[method-assign]
    assert task(env).unsolved_seeds(2) == [2, 3, 4, 5]


def test_a_run_is_that_of_the_policy_by_hand(plane_env: Any, plane_model: Any) -> None:
    env, model, seeds = plane_env(), plane_model(), [0, 1, 2]
    env.num_envs = 3
    found = task(env, model)
    planner = CEM(horizon=6, num_samples=8, num_elites=2, iterations=2)
    policy = found.policy(Control(planner, replan_every=3, reduce="last", warm_start=False), seed=5)
    by_hand = PlanningPolicy(
        plane_model(), planner, found.bounds, episode_generators(5, 3), 3, "last", warm_start=False
    )
    first, second = found.run(policy, seeds, record=3), run_episodes(plane_env(), by_hand, seeds, 7, size=2, record=3)
    assert torch.equal(first.actions, second.actions)
    assert policy.plans == by_hand.plans > 0


def test_the_expert_acts_for_running_episodes_alone() -> None:
    class Expert:
        envs = ()

        def expert(self) -> Any:
            return np.arange(6, dtype=np.float64).reshape(3, 2)

    scene = type("Scene", (), {"running": torch.tensor([2, 0])})
    found = task(Expert()).expert(scene)  # type: ignore[arg-type]
    assert found.tolist() == [[[4, 5]], [[0, 1]]]
    assert (task(Expert()).has_expert, task(Wanted()).has_expert) == (True, False)


def test_attributes_are_of_the_whole_or_of_each_part() -> None:
    class Part:
        def __init__(self, **attributes: int) -> None:
            self.attributes = attributes

        def get_wrapper_attr(self, name: str) -> int:
            if name not in self.attributes:
                raise AttributeError(name)
            return self.attributes[name]

    class Whole:
        own = 3
        envs = (Part(norm=1), Part(norm=2))

    assert (of_each(Whole(), "own"), of_each(Whole(), "norm"), of_each(Whole(), "other")) == ((3,), (1, 2), ())


def test_a_history_is_the_models(plane_model: Any) -> None:
    assert task(None, plane_model()).history == 1
    assert task(None, type("Model", (), {"history": 3})()).history == 3
