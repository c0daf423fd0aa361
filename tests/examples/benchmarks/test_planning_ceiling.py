import numpy as np
import pytest
import torch

from jepa_lightning.worlds.two_rooms import move, render

pytest.importorskip("gymnasium")


@pytest.fixture
def ceiling(example):
    return example("benchmarks/planning_ceiling.py")


def test_states_are_read_from_the_pixels(ceiling):
    position, wall, door = np.array([[10.2, 50.7], [45.0, 8.4]]), np.array([20, 44]), np.array([10, 54])
    frames = torch.from_numpy(render(position, wall, door)).movedim(1, -1)[:, None]
    model = ceiling.PerfectModel()
    states = model.encode(model.clip(frames))[:, 0]
    np.testing.assert_allclose(states[:, :2], position, atol=0.05)
    assert states[:, 2:].tolist() == [[20, 10], [44, 54]]


def test_rollouts_move_as_the_environment_does(ceiling):
    state = torch.tensor([[[30.0, 30.0, 32.0, 50.0]]])
    actions = torch.full((1, 2, 2 * ceiling.SKIP), 0.5)
    position, wall, door = np.array([[30.0, 30.0]]), np.array([32]), np.array([50])
    for _ in range(2 * ceiling.SKIP):
        position = move(position, np.full((1, 2), 0.5), wall, door, np.zeros(1))
    rollout = ceiling.PerfectModel().rollout(state, actions)
    assert rollout.shape == (1, 2, 4)
    np.testing.assert_allclose(rollout[0, -1, :2], position[0], atol=1e-5)
    assert rollout[0, -1, 0] < 32  # the wall holds it


def test_the_script_says_how_many_goals_are_reached(ceiling, capsys):
    ceiling.main(["--episodes", "2", "--max_steps", "8", "--num_samples", "4", "--reduce", "last"])
    assert "of 2 goals reached:" in capsys.readouterr().out
