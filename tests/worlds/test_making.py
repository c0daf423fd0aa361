from typing import Any, ClassVar

import numpy as np
import pytest

gymnasium = pytest.importorskip("gymnasium", reason="needs the extra worlds")

from jepa_lightning.worlds import make_world, making  # noqa: E402


def test_short_names_and_ids_are_the_same() -> None:
    for name in ("TwoRooms", "jepa_lightning/TwoRooms-v0", "jepa_lightning.worlds:jepa_lightning/TwoRooms-v0"):
        world = make_world(name, layouts="fixed")
        image, info = world.reset(seed=0)
        assert image.shape == (65, 65, 2)
        assert (info["wall"], info["state"].tolist()) == (32, info["position"].tolist())


def test_any_environment_that_draws_works() -> None:
    pytest.importorskip("pygame", reason="Pendulum draws with pygame")
    world = make_world("Pendulum-v1")
    image, info = world.reset(seed=0)
    assert image.shape == (500, 500, 3)
    assert info["state"].shape == (3,)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("NoSuchWorld-v1", {}, "there is no environment 'NoSuchWorld-v1': Environment `NoSuchWorld`"),
        ("no_module:World-v1", {}, "there is no environment 'no_module:World-v1': No module named 'no_module'"),
        ("TwoRooms", {"size": 3}, r"TwoRooms-v0 cannot be made with \{'size': 3\}: .* unexpected keyword"),
        ("TwoRooms", {"max_episode_steps": 0}, "TwoRooms-v0 cannot be made with .* to be positive, actually: 0"),
        ("TwoRooms", {"layouts": "odd"}, "TwoRooms-v0 cannot be made with .* there are no layouts 'odd'"),
        ("CartPole-v1", {}, r"CartPole-v1 has actions Discrete\(2\)"),
    ],
)
def test_wrong_names_and_options_end_in_one_line(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        make_world(name, **options)
    assert "\n" not in str(caught.value)


def test_a_world_whose_package_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(making, "find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"^PushT needs gym-pusht: pip install gym-pusht$"):
        make_world("PushT")


@pytest.mark.parametrize("early", [True, False])
def test_a_world_that_cannot_draw_without_a_package(monkeypatch: pytest.MonkeyPatch, early: bool) -> None:
    def missing(*args: Any, **options: Any) -> Any:
        raise gymnasium.error.DependencyNotInstalled('artist is not installed, run `pip install "artist"`')

    class Drawn(gymnasium.Env[Any, Any]):
        metadata: ClassVar = {"render_modes": ["rgb_array"]}
        observation_space = action_space = gymnasium.spaces.Box(-1, 1, (2,))
        reset = missing

        def __init__(self, render_mode: str | None = None) -> None:
            self.render_mode = missing() if early else render_mode

    monkeypatch.setitem(gymnasium.registry, "Drawn-v0", gymnasium.envs.registration.EnvSpec("Drawn-v0", Drawn))
    with pytest.raises(ImportError, match=r'^Drawn-v0 needs a package that is not installed: artist .*"artist"`$'):
        make_world("Drawn-v0")


def test_push_t_is_seen_and_its_state_are_agent_block_and_velocity() -> None:
    pytest.importorskip("gym_pusht", reason="needs gym-pusht")
    world = make_world("PushT")
    image, info = world.reset(seed=0)
    assert image.shape == world.observation_space.shape == (96, 96, 3)
    expected = [*info["pos_agent"], *info["block_pose"], *info["vel_agent"]]
    np.testing.assert_array_equal(info["state"], expected)
    assert info["state"].shape == (7,)
    _, *_, after = world.step(np.array([300.0, 300.0], np.float32))
    assert not np.array_equal(after["state"][:2], info["state"][:2])


@pytest.mark.slow
def test_point_maze_is_seen_and_its_state_are_place_and_velocity(point_maze: Any) -> None:
    world = point_maze
    image, info = world.reset(seed=0)
    assert image.shape == (96, 96, 3)
    assert image.std() > 1
    assert info["state"].shape == (4,)
    for _ in range(5):
        image, *_, after = world.step(np.array([1.0, 0.0], np.float32))
    assert after["state"][0] > info["state"][0]
