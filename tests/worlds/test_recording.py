import numpy as np
import pytest

pytest.importorskip("gymnasium", reason="needs the extra worlds")

from jepa_lightning.worlds import make_world
from jepa_lightning.worlds.recording import choose, record


@pytest.mark.parametrize("policy", ["random", "expert"])
def test_an_episode_is_what_happens_when_its_actions_are_repeated(policy: str) -> None:
    world = make_world("TwoRooms")
    episode = record(world, policy, seed=3, max_steps=300)  # type: ignore[arg-type]
    steps = len(episode.pixels) - 1
    assert steps == 200 or episode.reward[steps - 1] == 1
    assert np.isnan(episode.action[steps]).all()
    assert np.isnan(episode.reward[steps])
    again = make_world("TwoRooms").unwrapped
    image, info = again.reset(seed=3)
    if policy == "random":  # which draws from the same generator as the walls push back with
        again.wander()
    for t in range(min(steps, 20)):
        np.testing.assert_array_equal(image, episode.pixels[t])
        np.testing.assert_array_equal(info["position"], episode.state[t])
        if policy == "random" and t:
            again.wander()
        image, *_, info = again.step(episode.action[t])


def test_an_episode_follows_from_its_seed() -> None:
    world = make_world("TwoRooms")
    first, other, second = (record(world, "random", seed, 20) for seed in (1, 2, 1))
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.pixels, other.pixels)
    assert len(first.pixels) == 21


def test_random_actions_are_drawn_from_the_action_space_where_nobody_wanders() -> None:
    pytest.importorskip("gym_pusht", reason="needs gym-pusht")
    world = make_world("PushT")
    first, second = (record(world, "random", 5, 6) for _ in range(2))
    np.testing.assert_array_equal(first.action, second.action)
    assert first.action[:-1].max() > 200
    with pytest.raises(ValueError, match=r"gym_pusht/PushT-v0 has no expert: use the random policy"):
        choose(world, "expert")


def test_other_policies_are_refused() -> None:
    with pytest.raises(ValueError, match="there is no policy 'clever': give random or expert"):
        choose(make_world("TwoRooms"), "clever")  # type: ignore[arg-type]


def test_an_action_that_is_not_finite_is_named_before_it_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    world = make_world("TwoRooms")
    actions = iter([np.zeros(2), np.zeros(2), np.array([0.5, np.nan])])
    monkeypatch.setattr(world.unwrapped, "expert", lambda: next(actions))
    with pytest.raises(ValueError, match=r"^step 2 with seed 7: the expert policy gives the action \[0\.5 nan\]"):
        record(world, "expert", 7, 5)
