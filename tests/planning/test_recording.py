from typing import Any

import numpy as np
import torch

from jepa_lightning.planning import run_episodes
from jepa_lightning.planning.episodes import Scene
from jepa_lightning.planning.recording import Recording


def right(scene: Scene) -> torch.Tensor:
    return torch.full((len(scene.running), 1, 2), 0.25)


def test_the_first_episodes_are_recorded(plane_env: Any) -> None:
    episodes = run_episodes(plane_env(), right, seeds=range(5), max_steps=4, size=2, record=2)
    assert episodes.frames.shape == (2, 5, 4, 4, 1)
    assert episodes.actions.shape == (2, 4, 2)
    assert episodes.positions.shape == (2, 5, 2)
    torch.testing.assert_close(episodes.positions.diff(dim=1), episodes.actions, atol=1e-5, rtol=0)
    env = plane_env()
    env.reset(seed=range(5))
    torch.testing.assert_close(episodes.goal_positions, torch.as_tensor(env.goal[:2]).float())


def test_nothing_is_recorded_where_nobody_asks_and_positions_may_be_unknown() -> None:
    frames = torch.zeros(3, 4, 4, 1, dtype=torch.uint8)
    nothing = Recording(0, frames, {})
    assert [part.shape[0] for part in nothing.stacked()] == [0, 0, 0, 0]
    some = Recording(2, frames, {"position": np.ones((3, 2))})
    some.add(frames + 1, torch.full((3, 5), 7.0), {"position": np.full((3, 2), 4)})
    images, actions, positions, goals = some.stacked()
    assert (images.shape, images[1, 1].unique().tolist()) == ((2, 2, 4, 4, 1), [1])
    assert (actions.shape, positions[0].tolist(), goals.shape) == ((2, 1, 5), [[1, 1], [4, 4]], (2, 0))
