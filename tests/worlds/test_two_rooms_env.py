import sys
import warnings

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra worlds")
from gymnasium.utils.env_checker import check_env  # noqa: E402

import jepa_lightning.worlds  # noqa: E402
from jepa_lightning.worlds import TwoRooms, TwoRoomsVector  # noqa: E402
from jepa_lightning.worlds.layouts import layouts_of  # noqa: E402
from jepa_lightning.worlds.two_rooms import render  # noqa: E402

NAME = "jepa_lightning/TwoRooms-v0"
GIVEN = {"position": (10, 20), "goal": (50, 30), "wall": 30, "door": 40}


def test_gymnasium_finds_no_fault() -> None:
    with warnings.catch_warnings():
        warnings.filterwarnings("error")
        # actions are in pixels here
        warnings.filterwarnings("ignore", message=".*symmetric and normalized space.*")
        check_env(gymnasium.make(NAME, render_mode="rgb_array").unwrapped)


def test_reset_takes_what_is_given() -> None:
    env = gymnasium.make(NAME)
    image, info = env.reset(seed=0, options=GIVEN)
    assert {name: np.asarray(info[name]).tolist() for name in GIVEN} == {
        "position": [10, 20],
        "goal": [50, 30],
        "wall": 30,
        "door": 40,
    }
    wall, door = np.array([30]), np.array([40])
    np.testing.assert_array_equal(image, render(np.array([[10.0, 20.0]]), wall, door)[0].transpose(1, 2, 0))
    np.testing.assert_array_equal(
        info["goal_image"], render(np.array([[50.0, 30.0]]), wall, door)[0].transpose(1, 2, 0)
    )
    assert info["distance"] == pytest.approx(np.hypot(40, 10))
    image, reward, terminated, truncated, info = env.step(np.array([1.0, -2.0], np.float32))
    assert info["position"].tolist() == [11, 18]
    assert (reward, terminated, truncated, info["success"]) == (0, False, False, False)


def test_starts_and_goals_are_in_different_rooms_of_layouts_for_the_test() -> None:
    env, sides = gymnasium.make(NAME), []
    known = {tuple(row) for row in layouts_of("test").tolist()}
    for seed in range(60):
        _, info = env.reset(seed=seed)
        assert (info["wall"], info["door"]) in known
        side, other = (np.sign(info[name][0] - info["wall"]) for name in ("position", "goal"))
        assert side == -other
        sides.append(side)
    assert 15 < sides.count(1) < 45
    _, info = env.reset(seed=1, options={"position": (57, 30)})
    assert info["goal"][0] < info["wall"]
    _, info = env.reset(seed=1, options={"goal": (57, 30)})
    assert info["position"][0] < info["wall"]
    _, first = env.reset(seed=5)
    _, second = env.reset(seed=5)
    assert first["goal"].tolist() == second["goal"].tolist()


@pytest.mark.parametrize(("away", "reached"), [(4.49, True), (4.51, False)])
def test_an_episode_ends_less_than_4_and_a_half_from_the_goal(away: float, reached: bool) -> None:
    env = gymnasium.make(NAME)
    env.reset(seed=0, options=GIVEN | {"position": (50 - away, 30)})
    _, reward, terminated, _, info = env.step(np.zeros(2, np.float32))
    assert (reward, terminated, info["success"]) == (float(reached), reached, reached)


def test_the_expert_succeeds_and_an_episode_has_200_steps() -> None:
    env = gymnasium.make(NAME)
    for seed in range(5):
        env.reset(seed=seed)
        for _ in range(60):
            _, _, terminated, _, _ = env.step(env.unwrapped.expert())
            if terminated:
                break
        assert terminated
    env.reset(seed=0)
    ends = [env.step(np.zeros(2, np.float32))[3] for _ in range(200)]
    assert ends == [False] * 199 + [True]


def test_bad_options_change_nothing() -> None:
    env = TwoRooms()
    env.reset(seed=0, options=GIVEN)
    for options in ({"position": (2, 20)}, {"wall": 40, "door": 55}):
        with pytest.raises(ValueError, match=r"^reset: "):
            env.reset(options=options)
        assert (env.rooms.position.tolist(), env.rooms.wall.tolist()) == ([[10, 20]], [30])


def test_bad_actions_and_modes() -> None:
    env = TwoRooms()
    env.reset(seed=0)
    for action in ([1.0], [np.nan, 0.0], [[1.0, 2.0]]):
        with pytest.raises(ValueError, match="an action in two rooms is two finite numbers"):
            env.step(np.array(action))
    with pytest.raises(ValueError, match="have no render_mode='human'"):
        TwoRooms(render_mode="human")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no layouts 'odd'"):
        TwoRooms(layouts="odd")  # type: ignore[arg-type]


def test_without_gymnasium_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jepa_lightning.worlds, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"TwoRooms needs gymnasium: pip install 'jepa_lightning\[worlds\]'"):
        jepa_lightning.worlds.TwoRooms  # noqa: B018
    assert "torch" not in sys.modules["jepa_lightning.worlds"].__dict__


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


def test_without_a_render_mode_there_is_no_picture() -> None:
    assert TwoRooms().render() is None
