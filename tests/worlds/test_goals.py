from typing import Any

import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="needs the extra worlds")

from jepa_lightning.worlds import make_world
from jepa_lightning.worlds.goals import PUSH_T


@pytest.fixture
def push_t() -> Any:
    pytest.importorskip("gym_pusht", reason="needs gym-pusht")
    return make_world("PushT")


def test_the_goal_of_push_t_is_what_is_seen_with_the_block_in_its_zone(push_t: Any) -> None:
    image, info = push_t.reset(seed=3)
    own = push_t.unwrapped
    before = [*own.block.position, own.block.angle]
    with PUSH_T.reached(push_t.env) as seen:
        assert own._get_coverage() > 0.99  # of gym-pusht itself
        assert np.array_equal(seen, info["goal_image"])
    np.testing.assert_allclose([*own.block.position, own.block.angle], before)
    assert np.array_equal(push_t.env.unwrapped.get_obs(), image)
    assert not np.array_equal(info["goal_image"], image)
    assert info["success"] is False


@pytest.mark.parametrize(
    ("offset", "turn", "success"),
    [((0, 0), 0.0, True), ((14, 14), 0.3, True), ((15, 15), 0.0, False), ((0, 0), 0.36, False), ((0, 0), 6.2, True)],
)
def test_the_block_may_be_20_units_and_20_degrees_off(offset: Any, turn: float, success: bool) -> None:
    goal = np.array([256.0, 256.0, np.pi / 4])
    info = {"block_pose": goal + np.array([*offset, turn]), "goal_pose": goal}
    told = PUSH_T.told(None, info)
    assert told["success"] is success
    assert told["goal"].tolist() == [256.0, 256.0]


def test_making_the_goal_image_does_not_change_what_follows(push_t: Any) -> None:
    plain: Any = push_t.env
    walks = []
    for env in (push_t, plain):
        env.reset(seed=4)
        walks.append([env.step(np.array(target))[4]["block_pose"] for target in ((256, 256), (100, 300), (300, 100))])
    np.testing.assert_allclose(walks[0], walks[1], atol=1e-9)


@pytest.mark.slow
def test_the_goal_of_point_maze_is_what_is_seen_with_the_ball_there(point_maze: Any) -> None:
    world = point_maze
    image, info = world.reset(seed=1)
    assert info["goal_image"].shape == image.shape
    assert not np.array_equal(info["goal_image"], image)
    own: Any = world.unwrapped
    np.testing.assert_allclose(own.data.qpos, info["position"])
    own.point_env.set_state(info["goal"], np.zeros(2))
    image, *_, info = world.step(np.zeros(2, np.float32))
    assert info["success"]
    assert np.abs(image.astype(int) - info["goal_image"]).mean() < 1
