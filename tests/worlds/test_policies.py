import numpy as np

from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.policies import Wanderer, draw_lengths, expert_action
from jepa_lightning.worlds.rooms import Rooms


def test_the_expert_gets_everywhere_without_a_collision() -> None:
    number = 300
    rooms = Rooms(number, "all")
    rooms.reset([np.random.default_rng(i) for i in range(number)], None)
    # some goals in the same room, some in the door
    rooms.goal[::3] = rooms.goal[::3] * [1, 0] + [0, 30]
    rooms.goal[1::9] = np.stack([rooms.wall, rooms.door + 1], axis=1)[1::9]
    rooms.position[2::3] = rooms.goal[2::3] + np.array([0.5, 0.0])
    rooms.position[4::9] = np.stack([rooms.wall + 1, rooms.door - 3], axis=1)[4::9]
    for _ in range(100):
        action = expert_action(rooms.position, rooms.goal, rooms.wall, rooms.door)
        assert np.hypot(*action.T).max() <= 2.45 + 1e-9
        before = rooms.position
        rooms.step(action, np.full(number, 9.0))  # a collision would push it back
        np.testing.assert_allclose(rooms.position, before + action, atol=1e-9)
    assert rooms.distance.max() < 1e-6


def test_it_takes_about_the_shortest_way() -> None:
    """From one room to the other by the middle of the door, and no longer than 10 % and one step more."""
    rooms = Rooms(100, "all")
    rooms.reset([np.random.default_rng(i) for i in range(100)], None)
    gate = np.stack([rooms.wall, rooms.door], axis=1)
    way = np.hypot(*(rooms.position - gate).T) + np.hypot(*(rooms.goal - gate).T)
    steps = np.zeros(100)
    for _ in range(100):
        running = rooms.distance > 1e-6
        steps += running
        rooms.step(expert_action(rooms.position, rooms.goal, rooms.wall, rooms.door), np.zeros(100))
    assert (steps * 2.45 <= 1.1 * way + 3 * 2.45).all()


def test_the_wanderer_keeps_its_direction_for_some_time() -> None:
    wander = Wanderer(np.random.default_rng(0))
    actions = np.array([wander() for _ in range(4000)])
    lengths, headings = np.hypot(*actions.T), np.arctan2(actions[:, 1], actions[:, 0])
    assert 0.2 <= lengths.min() < 0.25 < 1.75 < lengths.max() <= 1.8
    # a normal distribution cut symmetrically at two standard deviations
    assert abs(lengths.mean() - 1) < 0.02
    assert abs(lengths.std() - 0.4 * 0.8796) < 0.02
    # the mean cosine of a von Mises distribution of concentration 5: I1(5) / I0(5)
    assert abs(np.cos(np.diff(headings)).mean() - 0.8934) < 0.01


def test_lengths_are_as_many_as_asked_for() -> None:
    generator = np.random.default_rng(0)
    assert [len(draw_lengths(generator, number)) for number in (0, 1, 5000)] == [0, 1, 5000]
    assert len(layouts_of("fixed")) == 1
