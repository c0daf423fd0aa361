"""Against a slow version that cuts each way with each edge of the walls, one by one."""

import numpy as np
import pytest

from jepa_lightning.worlds.collision import collision_time, keep_margin
from jepa_lightning.worlds.two_rooms import is_free, move

NUMBER = 10_000


def edges(wall: float, door: float) -> list[tuple[float, float, float, float]]:
    """The border, and the two parts of the wall, as segments."""
    boxes = [(4, 4, 60, 60), (wall - 1.5, 4, wall + 1.5, door - 4), (wall - 1.5, door + 4, wall + 1.5, 60)]
    found: list[tuple[float, float, float, float]] = []
    for left, top, right, bottom in boxes:
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        found += [(*a, *b) for a, b in zip(corners, [*corners[1:], corners[0]], strict=True)]
    return found


def slow_time(start: np.ndarray, step: np.ndarray, wall: float, door: float) -> float:
    """Smallest share of the step at which it cuts an edge."""
    px, py, dx, dy = map(float, (*start, *step))
    first = np.inf
    for ax, ay, bx, by in edges(wall, door):
        ex, ey = bx - ax, by - ay
        cross = dx * ey - dy * ex
        if cross == 0:
            continue  # parallel
        along = ((ax - px) * ey - (ay - py) * ex) / cross
        on_edge = ((ax - px) * dy - (ay - py) * dx) / cross
        if along >= 0 and -1e-12 <= on_edge <= 1 + 1e-12:
            first = min(first, along)
    return first


def in_wall(place: np.ndarray, wall: float, door: float) -> bool:
    x, y = place
    return not (4 < x < 60 and 4 < y < 60) or (abs(x - wall) < 1.5 and abs(y - door) > 4)


@pytest.fixture(scope="module")
def moves() -> tuple[np.ndarray, ...]:
    """Short and long moves from everywhere, one in eight along an axis, many near the door and its corners."""
    draw = np.random.default_rng(0)
    wall, door = draw.integers(20, 45, NUMBER), draw.integers(10, 55, NUMBER)
    start = draw.uniform(4.3, 59.7, (NUMBER, 2))
    near = draw.random(NUMBER) < 0.5
    start[near] = np.stack([wall, door], axis=1)[near] + draw.uniform(-6, 6, (near.sum(), 2))
    start = keep_margin(start, wall, door)
    step = draw.normal(size=(NUMBER, 2)) * draw.choice([0.3, 2, 20], size=(NUMBER, 1))
    straight = draw.random(NUMBER) < 0.125
    step[straight, draw.integers(2, size=straight.sum())] = 0
    return start, step, wall, door


def test_swept_collisions_are_those_of_the_slow_version(moves: tuple[np.ndarray, ...]) -> None:
    start, step, wall, door = moves
    assert is_free(start, wall, door).all()
    fast = collision_time(start, step, wall, door)
    slow = np.array([slow_time(*each) for each in zip(*moves, strict=True)])
    within = slow <= 1
    assert 0.2 < within.mean() < 0.8
    assert (within == (fast <= 1)).all()
    np.testing.assert_allclose(fast[within], slow[within], atol=1e-9)


def test_no_move_ends_in_a_wall_or_behind_one(moves: tuple[np.ndarray, ...]) -> None:
    start, step, wall, door = moves
    step = step * np.minimum(1, 2.45 / np.hypot(*step.T))[:, None]
    noise = np.random.default_rng(1).standard_normal(NUMBER)
    end = move(start, step, wall, door, noise)
    assert is_free(end, wall, door).all()
    slow = np.array([slow_time(*each) for each in zip(start, step, wall, door, strict=True)])
    for i in np.flatnonzero(slow > 1):  # nothing in the way: it gets there, but for the margin
        assert np.abs(end[i] - start[i] - step[i]).max() <= 0.3 + 1e-9
    for i in np.flatnonzero(slow <= 1):
        length = np.hypot(*step[i])
        stop = slow[i] * length - min(0.5 * abs(noise[i]), slow[i] * length)
        np.testing.assert_allclose(end[i], start[i] + step[i] * stop / length, atol=0.3 + 1e-9)
        # the way there is free, so that nobody was pushed through a wall
        for share in np.linspace(0, 1, 9):
            assert not in_wall(start[i] + share * (end[i] - start[i]) * (1 - 1e-9), wall[i], door[i])


@pytest.mark.parametrize(
    ("start", "step", "time"),
    [
        ((20, 40), (100, 0), 10.5 / 100),  # the wall at 32, from the left
        ((44, 40), (-100, 0), 10.5 / 100),
        ((20, 18), (100, 0), 40 / 100),  # through the door to the border
        ((32, 18), (0, 10), 4 / 10),  # the end of the wall at the door
        ((32, 18), (0, -10), 4 / 10),
        ((20, 40), (-8, -80), 36 / 80),
        ((20, 40), (0, 0), np.inf),
        ((29, 20.5), (6, 6), 1.5 / 6),  # past the corner at (30.5, 22), exactly
        ((29, 20.6), (6, 6), 1.5 / 6),  # just within
        ((29, 20.4), (6, 6), 1.6 / 6),  # just beside, and then the wall's end
    ],
)
def test_collisions_by_hand(start: tuple[float, float], step: tuple[float, float], time: float) -> None:
    found = collision_time(np.array([start], float), np.array([step], float), np.array([32]), np.array([18]))
    np.testing.assert_allclose(found, [time])


def test_the_margin_is_kept_the_shortest_way() -> None:
    places = np.array([[4.0, 30.0], [30.6, 40.0], [33.4, 40.0], [32.0, 21.9], [32.0, 14.1], [60.0, 60.0], [20.0, 20.0]])
    kept = [[4.3, 30.0], [30.2, 40.0], [33.8, 40.0], [32.0, 21.7], [32.0, 14.3], [59.7, 59.7], [20.0, 20.0]]
    np.testing.assert_allclose(keep_margin(places, np.full(7, 32), np.full(7, 18)), kept)
