from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.planning import Bounds, RandomPolicy, ZeroPolicy, episode_generators, run_episodes


def test_random_actions_fill_the_bounds_evenly(plane_env: Any) -> None:
    bounds = Bounds(torch.tensor([-2.0, -2.0]), torch.tensor([2.0, 2.0]), max_norm=2.0)
    policy, env = RandomPolicy(bounds, episode_generators(0, 40)), plane_env(radius=0.0)
    run_episodes(env, policy, seeds=range(40), max_steps=50, size=2)
    drawn = np.concatenate(env.executed)
    norms = np.linalg.norm(drawn, axis=1)
    assert norms.max() <= 2.0
    assert abs((norms < 1).mean() - 0.25) < 0.04  # the share of the area
    assert np.abs(drawn.mean(axis=0)).max() < 0.1


def test_random_actions_of_an_episode_are_its_own(plane_env: Any, box: Bounds) -> None:
    executed = []
    for seeds, first in ((range(5), 0), ([3], 3)):
        env = plane_env(radius=0.0)
        run_episodes(env, RandomPolicy(box, episode_generators(0, len(seeds), first)), seeds, max_steps=4, size=2)
        executed.append(np.stack(env.executed, axis=1))
    assert np.array_equal(executed[0][3], executed[1][0])


def test_random_actions_without_bounds_are_normal(plane_env: Any) -> None:
    infinite = torch.full((2,), torch.inf)
    policy = RandomPolicy(Bounds(-infinite, infinite, scale=torch.tensor([0.1, 0.2])), episode_generators(0, 200))
    env = plane_env(radius=0.0)
    run_episodes(env, policy, seeds=range(200), max_steps=10, size=2)
    assert np.concatenate(env.executed).std(axis=0) == pytest.approx([0.1, 0.2], rel=0.1)


def test_zero_stands_still(plane_env: Any, box: Bounds) -> None:
    env = plane_env()
    episodes = run_episodes(env, ZeroPolicy(box), seeds=range(3), max_steps=5, size=2)
    assert not np.stack(env.executed).any()
    assert not episodes.success.any()
