from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import (
    CEM,
    Bounds,
    Plan,
    Planner,
    PlanningPolicy,
    episode_generators,
    run_episodes,
)

SMALL: dict[str, Any] = {"num_samples": 32, "iterations": 4}


class Noting(Planner):
    """Stands still, and keeps what it was asked."""

    def __init__(self, horizon: int) -> None:
        self.horizon, self.num_samples, self.iterations = horizon, 1, 1
        self.asked: list[tuple[int, Tensor | None, list[int]]] = []

    def plan(self, cost: Any, bounds: Bounds, start: Any = None, *, generators: Any, horizon: Any = None) -> Plan:
        self.asked.append((horizon, start, [generator.initial_seed() for generator in generators]))
        actions = (torch.arange(horizon) + 1.0)[None, :, None].expand(len(generators), horizon, 2) / 64
        return Plan(actions, cost(actions[:, None])[:, 0])


@pytest.mark.parametrize("replan_every", [1, 3])
@pytest.mark.parametrize("reduce", ["sum", "last"])
def test_every_planner_brings_a_point_to_its_goal(
    plane_env: Any, plane_model: Any, planner_class: Any, box: Bounds, replan_every: int, reduce: Any
) -> None:
    elites = {} if planner_class.__name__ == "GradientPlanner" else {"num_elites": 6}
    planner = planner_class(horizon=4, **SMALL, **elites)
    policy = PlanningPolicy(plane_model(), planner, box, episode_generators(0, 4), replan_every, reduce)
    env = plane_env(radius=0.5)
    episodes = run_episodes(env, policy, seeds=range(4), max_steps=30, size=2)
    assert episodes.success.all()
    env.reset(seed=range(4))
    shortest = np.abs(env.goal - env.position).max(axis=1)
    assert np.all(episodes.steps.numpy() <= 1.5 * shortest + 4)
    assert policy.plans <= 4 * 30
    assert policy.seconds > 0


def test_an_episode_goes_alike_alone_and_among_others(plane_env: Any, plane_model: Any, box: Bounds) -> None:
    def positions(seeds: list[int], first: int) -> Tensor:
        policy = PlanningPolicy(
            plane_model(), CEM(4, 16, 4, 3), box, episode_generators(0, len(seeds), first), replan_every=2
        )
        env = plane_env()
        found = run_episodes(env, policy, seeds=seeds, max_steps=12, size=2, record=len(seeds))
        return found.positions

    together = positions([5, 6, 7, 8], 0)
    assert torch.equal(positions([7], 2)[0], together[2][: positions([7], 2).shape[1]])


def test_the_present_is_encoded_once_a_plan_and_the_goal_once_an_episode(
    plane_env: Any, plane_model: Any, box: Bounds
) -> None:
    model = plane_model()
    policy = PlanningPolicy(model, CEM(4, 16, 4, 3), box, episode_generators(0, 3), replan_every=4)
    run_episodes(plane_env(radius=0.0), policy, seeds=range(3), max_steps=12, size=2)
    assert policy.plans == 9
    assert model.encoded == 3 + 1


def test_horizons_end_with_the_episode_and_starts_are_shifted(plane_env: Any, plane_model: Any, box: Bounds) -> None:
    planner = Noting(horizon=5)
    policy = PlanningPolicy(plane_model(), planner, box, episode_generators(2, 2), replan_every=2)
    run_episodes(plane_env(radius=0.0), policy, seeds=[0, 1], max_steps=8, size=2)
    horizons, starts, seeds = zip(*planner.asked, strict=True)
    assert horizons == (5, 5, 4, 2)
    assert starts[0] is None
    assert [(64 * start[0, :, 0]).tolist() for start in starts[1:]] == [[3, 4, 5, 0, 0], [3, 4, 5, 0], [3, 4]]
    assert seeds[0] == [generator.initial_seed() for generator in episode_generators(2, 2)]
    cold = Noting(horizon=5)
    policy = PlanningPolicy(plane_model(), cold, box, episode_generators(2, 2), replan_every=2, warm_start=False)
    run_episodes(plane_env(radius=0.0), policy, seeds=[0, 1], max_steps=8, size=2)
    assert all(start is None for _, start, _ in cold.asked)


def test_a_history_comes_with_the_actions_that_were_executed(plane_env: Any, plane_model: Any, box: Bounds) -> None:
    model, env = plane_model(), plane_env(radius=0.0)
    policy = PlanningPolicy(model, Noting(horizon=2), box, episode_generators(0, 2), history=3)
    assert policy.memory == 3
    run_episodes(env, policy, seeds=[0, 1], max_steps=4, size=2, memory=policy.memory)
    assert model.pasts[0] is None
    executed = torch.as_tensor(np.stack(env.executed, axis=1))
    assert torch.equal(model.pasts[1], executed[:, :1])
    assert torch.equal(model.pasts[3], executed[:, 1:3])


def test_a_history_at_a_frame_skip_has_the_actions_between_its_frames(
    plane_env: Any, plane_model: Any, box: Bounds
) -> None:
    model, env = plane_model(skip=2), plane_env(radius=0.0)
    policy = PlanningPolicy(
        model, Noting(horizon=4), box, episode_generators(0, 2), replan_every=2, history=2, frame_skip=2
    )
    assert policy.memory == 3
    run_episodes(env, policy, seeds=[0, 1], max_steps=7, size=2, memory=policy.memory)
    executed = torch.as_tensor(np.stack(env.executed, axis=1))
    assert [past is None for past in model.pasts] == [True, False, False, False]
    assert torch.equal(model.pasts[2], executed[:, 2:4].reshape(2, 1, 4))


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"frame_skip": 3}, "horizon=4 is no multiple of the model's frame skip of 3 actions"),
        ({"frame_skip": 2, "replan_every": 1}, "replan_every=1 is no multiple of the model's frame skip of 2"),
        ({"replan_every": 5}, "replan_every=5 is more than horizon=4 has actions"),
        ({"replan_every": 0}, "PlanningPolicy: replan_every=0 is out of range"),
        ({"history": 0}, "PlanningPolicy: history=0 is out of range"),
    ],
)
def test_what_cannot_be_done_is_one_line(plane_model: Any, box: Bounds, options: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        PlanningPolicy(plane_model(), CEM(4, 16, 4, 3), box, episode_generators(0, 1), **options)
