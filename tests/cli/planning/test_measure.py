from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.cli.planning.measure import measure
from jepa_lightning.evaluation import wilson_interval
from jepa_lightning.planning import CEM, Bounds
from jepa_lightning.planning.task import Control, Task


class Line:
    """A point on a line of gray levels, of which two in three goals are near; its expert walks straight to them."""

    num_envs = 6

    def reset(self, *, seed: Any, options: Any = None) -> Any:
        self.place = np.full(len(seed), 10.0)
        self.goal = np.array([40.0 if each % 3 == 0 else 16.0 for each in seed])
        return self._image(self.place), self._info()

    def step(self, actions: Any) -> Any:
        self.place = self.place + actions[:, 0]
        info = self._info()
        return self._image(self.place), 0, info["success"], np.zeros(len(self.place), bool), info

    def expert(self) -> Any:
        return np.clip(self.goal - self.place, -1, 1)[:, None]

    def _info(self) -> dict[str, Any]:
        images = {"goal_image": self._image(self.goal), "success": np.abs(self.place - self.goal) < 1}
        return {**images, "position": self.place[:, None], "goal": self.goal[:, None]}

    def _image(self, places: Any) -> Any:
        return np.repeat(np.rint(4 * places).astype(np.uint8), 4).reshape(-1, 2, 2, 1)


class Sees:
    """Sees the place, and knows what actions do to it, or not."""

    def __init__(self, unit: float = 4.0) -> None:
        self.unit = unit

    def clip(self, frames: Any) -> Any:
        return frames.float().movedim(4, 1)

    def encode(self, clip: Any) -> Any:
        return clip.flatten(3).mean(dim=3).movedim(1, 2)

    def rollout(self, history: Any, actions: Any, past_actions: Any = None) -> Any:
        return history[:, -1:] + self.unit * actions.cumsum(dim=1)

    def cost(self, rollout: Any, goal: Any, reduce: str = "sum") -> Any:
        distance = (rollout - goal[:, None]).square().mean(dim=2)
        return distance.sum(dim=1) if reduce == "sum" else distance[:, -1]


@pytest.fixture
def found() -> dict[str, Any]:
    bounds = Bounds(-torch.ones(1), torch.ones(1))
    task, backwards = (Task("Line", Line(), Sees(unit), bounds, 1, 12) for unit in (4.0, -4.0))
    backwards.env = task.env
    control = Control(CEM(horizon=4, num_samples=16, num_elites=4, iterations=3), replan_every=2)
    return measure(task, control, seed=1, pixels=backwards)[0]


def test_every_policy_is_scored_on_the_same_episodes(found: dict[str, Any]) -> None:
    near = [True, True, False, True, True, False]  # of seeds 1 to 6
    assert found["seeds"] == [1, 2, 3, 4, 5, 6]
    assert found["episode_success"] == near
    assert (found["success"], found["oracle"], found["zero"], found["pixels"]) == (4 / 6, 4 / 6, 0.0, 0.0)
    assert found["interval"] == list(wilson_interval(4, 6))
    assert found["oracle_steps"] == 6.0  # 5 or more of 6 to a goal within 1
    assert (found["zero_steps"], found["zero_interval"]) == (None, list(wilson_interval(0, 6)))
    assert found["above_random"] == pytest.approx(4 / 6 - found["random"])


def test_plans_are_counted_and_the_model_is_judged(found: dict[str, Any]) -> None:
    assert found["plans"] >= 2 * 6 + 4 * 3
    assert found["seconds_per_episode"] * 6 == pytest.approx(found["seconds_per_plan"] * found["plans"])
    # gray levels are rounded
    assert max(found["rollout_error"]["true"]) < min(found["rollout_error"]["still"])
    assert found["distance"]["rank_correlation"] > 0.99
