import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra worlds")

import jepa_lightning.worlds  # noqa: E402, F401
from jepa_lightning.worlds import TwoRooms, TwoRoomsVector  # noqa: E402

NAME = "jepa_lightning/TwoRooms-v0"
GIVEN = {"position": (10, 20), "goal": (50, 30), "wall": 30, "door": 40}


def test_many_rooms_are_what_single_ones_are_with_the_same_seeds() -> None:
    number = 4
    many, singles = gymnasium.make_vec(NAME, num_envs=number), [gymnasium.make(NAME) for _ in range(number)]
    assert isinstance(many, TwoRoomsVector)
    images, infos = many.reset(seed=7)
    for i, env in enumerate(singles):
        image, info = env.reset(seed=7 + i)
        np.testing.assert_array_equal(images[i], image)
        for name, value in info.items():
            np.testing.assert_array_equal(infos[name][i], value)
    actions = np.random.default_rng(0).uniform(-2.45, 2.45, (30, number, 2)).astype(np.float32)
    for step in actions:
        images, rewards, terminated, truncated, infos = many.step(step)
        for i, env in enumerate(singles):
            image, reward, *ends, info = env.step(step[i])
            np.testing.assert_array_equal(images[i], image)
            assert (rewards[i], terminated[i], truncated[i]) == (reward, *ends)
            np.testing.assert_array_equal(infos["position"][i], info["position"])
    assert many.observation_space.contains(images)


def test_many_experts_do_what_single_ones_do() -> None:
    many = TwoRoomsVector(3)
    many.reset(seed=5)
    for row, actions in enumerate(many.expert()):
        one = TwoRooms()
        one.reset(seed=5 + row)
        assert np.array_equal(one.expert(), actions)
        assert np.hypot(*actions) <= one.max_action_norm + 1e-6
    assert many.max_action_norm == TwoRooms.max_action_norm


def test_ended_rooms_stay_as_they_are_until_they_are_reset() -> None:
    many = TwoRoomsVector(3, max_episode_steps=4)
    positions = [(10, 20), (49, 30), (20, 20)]
    many.reset(seed=0, options=GIVEN | {"position": positions})
    many.step(np.zeros((3, 2)))
    _, rewards, terminated, truncated, infos = many.step(np.ones((3, 2)))
    assert (rewards.tolist(), terminated.tolist()) == ([0, 0, 0], [False, True, False])
    assert infos["position"].tolist() == [[11, 21], [49, 30], [21, 21]]
    many.step(np.zeros((3, 2)))
    _, _, _, truncated, _ = many.step(np.zeros((3, 2)))
    assert truncated.tolist() == [True, False, True]
    mask = np.array([True, False, False])
    _, infos = many.reset(options=GIVEN | {"reset_mask": mask})
    assert infos["position"].tolist() == [[10, 20], [49, 30], [21, 21]]
    _, _, _, truncated, _ = many.step(np.ones((3, 2)))
    assert truncated.tolist() == [False, False, True]
    for options in ({"reset_mask": [True]}, {"reset_mask": [1, 0, 1]}):
        with pytest.raises(ValueError, match="reset_mask must have a bool for each of the 3"):
            many.reset(options=options)
    with pytest.raises(ValueError, match="2 seeds were given for 3"):
        many.reset(seed=[1, 2])
    for wrong in (np.zeros((2, 2)), np.full((3, 2), np.inf)):
        with pytest.raises(ValueError, match="actions in 3 times two rooms are finite numbers"):
            many.step(wrong)


def test_the_noise_of_a_room_does_not_depend_on_rooms_that_have_ended() -> None:
    """One agent is at its goal after a step; the other runs into the border, and is pushed back by drawn numbers."""
    alone, among = TwoRoomsVector(1), TwoRoomsVector(2)
    options = GIVEN | {"position": (5, 20)}
    alone.reset(seed=[3], options=options)
    among.reset(seed=[2, 3], options=options | {"position": [(49, 30), (5, 20)]})
    for _ in range(6):
        _, rewards, *_, infos = among.step(np.array([(0.0, 0.0), (-2.0, 0.5)]))
        *_, single = alone.step(np.array([(-2.0, 0.5)]))
        np.testing.assert_array_equal(infos["position"][1], single["position"][0])
    assert rewards.tolist() == [0.0, 0.0]  # what was reached before is not rewarded again


def test_a_room_that_was_reset_has_the_steps_of_a_whole_episode() -> None:
    env = TwoRoomsVector(1, max_episode_steps=3)
    env.reset(seed=0, options=GIVEN)
    for _ in range(2):
        assert not env.step(np.zeros((1, 2)))[3].any()
        env.step(np.zeros((1, 2)))
        env.reset(options=GIVEN | {"reset_mask": np.array([True])})
