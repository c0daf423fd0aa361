import sys
import warnings

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra worlds")
from gymnasium.utils.env_checker import check_env  # noqa: E402

import jepa_lightning.worlds  # noqa: E402
from jepa_lightning.worlds import TwoRooms  # noqa: E402
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


def test_without_a_render_mode_there_is_no_picture() -> None:
    assert TwoRooms().render() is None
