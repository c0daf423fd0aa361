import numpy as np
import pytest

from jepa_lightning.worlds.rooms import Rooms
from jepa_lightning.worlds.two_rooms import render


def generators(*seeds: int) -> list[np.random.Generator]:
    return [np.random.default_rng(seed) for seed in seeds]


def test_what_is_drawn_does_not_depend_on_what_is_given_or_on_other_rooms() -> None:
    drawn, given, alone = Rooms(2, "test"), Rooms(2, "test"), Rooms(1, "test")
    drawn.reset(generators(3, 4), None)
    given.reset(generators(3, 4), {"goal": drawn.goal})
    alone.reset(generators(4), None)
    for name in ("position", "goal", "wall", "door"):
        np.testing.assert_array_equal(getattr(given, name), getattr(drawn, name))
        np.testing.assert_array_equal(getattr(alone, name), getattr(drawn, name)[1:])
    assert drawn.wall[0] != drawn.wall[1] or drawn.door[0] != drawn.door[1]


def test_starts_and_goals_are_on_different_sides_of_the_wall() -> None:
    rooms = Rooms(50, "all")
    rooms.reset(generators(*range(50)), None)
    sides = np.sign(np.stack([rooms.position[:, 0], rooms.goal[:, 0]]) - rooms.wall)
    assert (sides.prod(axis=0) == -1).all()
    assert 10 < (sides[0] == 1).sum() < 40
    rooms.reset(generators(*range(50)), {"position": (8, 30)})
    assert (rooms.goal[:, 0] > rooms.wall).all()


def test_only_the_rows_that_are_asked_for_are_reset() -> None:
    rooms = Rooms(3, "test")
    rooms.reset(generators(0, 1, 2), None)
    before, image = rooms.position.copy(), rooms.look_from_goal()
    rooms.reset(generators(7, 8, 9), None, rows=np.array([1]))
    assert (rooms.position == before).all(axis=1).tolist() == [True, False, True]
    assert [np.array_equal(rooms.look_from_goal()[i], image[i]) for i in range(3)] == [True, False, True]


def test_a_place_in_a_wall_changes_nothing() -> None:
    rooms = Rooms(2, "fixed")
    rooms.reset(generators(0, 1), None)
    before = rooms.position.copy(), rooms.look()
    with pytest.raises(ValueError, match="goal="):
        rooms.reset(generators(5, 6), {"goal": [(50, 30), (32, 40)]})
    assert np.array_equal(rooms.position, before[0])
    assert np.array_equal(rooms.look(), before[1])


def test_the_goal_is_reached_less_than_4_and_a_half_from_it() -> None:
    rooms = Rooms(2, "fixed")
    rooms.reset(generators(0, 1), {"position": [(45.4, 30), (45.6, 30)], "goal": (50, 30)})
    np.testing.assert_allclose(rooms.distance, [4.6, 4.4])
    assert rooms.reached.tolist() == [False, True]
    rooms.step(np.array([[0.2, 0.0], [-0.2, 0.0]]), np.zeros(2))
    assert rooms.reached.tolist() == [True, False]


def test_what_is_seen_at_the_goal_is_what_would_be_seen_there() -> None:
    rooms = Rooms(2, "test")
    rooms.reset(generators(0, 1), None)
    expected = render(rooms.goal, rooms.wall, rooms.door).transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(rooms.look_from_goal(), expected)
