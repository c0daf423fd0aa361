from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import run_episodes
from jepa_lightning.planning.episodes import Scene


def walk(scene: Scene) -> Tensor:
    """Straight to the goal by the true state, two actions at a time."""
    position, goal = (torch.as_tensor(scene.info[name])[scene.running].float() for name in ("position", "goal"))
    first = (goal - position).clamp(-1, 1)
    second = (goal - position - first).clamp(-1, 1)
    return torch.stack([first, second], dim=1)


@pytest.mark.parametrize("names_success", [True, False])
def test_each_episode_ends_at_its_own_first_success(plane_env: Any, names_success: bool) -> None:
    env = plane_env(names_success=names_success)
    episodes = run_episodes(env, walk, seeds=range(6), max_steps=30, size=2)
    env.reset(seed=range(6))
    expected = np.ceil((np.abs(env.goal - env.position).max(axis=1) - env.radius).clip(0))
    assert episodes.success.all()
    assert np.all(np.abs(episodes.steps.numpy() - expected) <= 1)
    assert len(set(episodes.steps.tolist())) > 1


def test_an_episode_that_leaves_its_goal_again_has_reached_it(plane_env: Any) -> None:
    episodes = run_episodes(
        plane_env(), lambda scene: torch.full((len(scene.running), 1, 2), 0.2), seeds=[1], max_steps=3, size=2
    )
    assert episodes.success.tolist() == [False]
    env = plane_env()
    env.reset(seed=[1])
    step = torch.as_tensor(env.goal - env.position).float()
    episodes = run_episodes(env, lambda scene: step[:, None], seeds=[1], max_steps=9, size=2)
    assert (episodes.success.tolist(), episodes.steps.tolist(), len(env.executed)) == ([True], [1], 1)


def test_a_policy_sees_the_last_frames_and_the_actions_between_them(plane_env: Any) -> None:
    seen = []

    def policy(scene: Scene) -> Tensor:
        seen.append(scene)
        return torch.full((len(scene.running), 1, 2), 0.125 * len(seen))

    run_episodes(plane_env(radius=0.0), policy, seeds=[3, 4], max_steps=5, size=2, memory=3)
    assert [scene.frames.shape[1] for scene in seen] == [1, 2, 3, 3, 3]
    assert [scene.steps_left for scene in seen] == [5, 4, 3, 2, 1]
    assert [scene.actions[0, :, 0].tolist() for scene in seen] == [
        [], [0.125], [0.125, 0.25], [0.25, 0.375], [0.375, 0.5],
    ]  # fmt: skip
    assert torch.equal(seen[3].frames[:, 0], seen[2].frames[:, 1])
    moved = seen[4].frames[0, 2, 0, 0, 0].int() - seen[4].frames[0, 1, 0, 0, 0].int()
    assert int(moved) == round(0.5 * 16)


class Wrong:
    """An environment whose first observation is given."""

    def __init__(self, observation: Any, info: Any) -> None:
        self.given = observation, info

    def reset(self, **options: Any) -> Any:
        return self.given


IMAGE = np.zeros((1, 4, 4, 1), np.uint8)


@pytest.mark.parametrize(
    ("observation", "info", "fault"),
    [
        (np.zeros((1, 7)), {}, r"observations are torch.float64 \[7\], not images uint8 \[H, W, C\]"),
        (IMAGE.astype(np.float32), {}, r"observations are torch.float32 \[4, 4, 1\], not images"),
        ({"pixels": IMAGE}, {}, "observations are no single array, not images"),
        (IMAGE, {}, r"the environment has no info\['goal_image'\]"),
        (
            IMAGE,
            {"goal_image": IMAGE[:, :3]},
            r"the goal images have the size \[3, 4, 1\], and the observations \[4, 4, 1\]",
        ),
        (IMAGE, {"goal_image": IMAGE, "success": [True]}, "1 of 1 episodes start at their goal"),
    ],
)
def test_what_is_no_task_is_one_line(observation: Any, info: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=f"^{fault}"):
        run_episodes(Wrong(observation, info), walk, seeds=[0], max_steps=3, size=2)


class Passing:
    """Two episodes: the time of the first is over after a step, and it is at its goal in the next one."""

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.steps, self.image = 0, np.zeros((2, 1, 1, 1), np.uint8)
        return self.image, {"goal_image": self.image, "success": np.zeros(2, bool)}

    def step(self, actions: Any) -> Any:
        self.steps += 1
        success = np.array([self.steps == 2, self.steps == 3])
        return self.image, np.zeros(2), np.zeros(2, bool), np.array([True, False]), {"success": success}


def test_a_goal_that_is_reached_after_the_end_does_not_count() -> None:
    episodes = run_episodes(Passing(), lambda scene: torch.zeros(len(scene.running), 1, 1), [0, 1], max_steps=5, size=1)
    assert (episodes.success.tolist(), episodes.steps.tolist()) == ([False, True], [1, 3])
