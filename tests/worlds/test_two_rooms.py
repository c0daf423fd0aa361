import numpy as np
import pytest

from jepa_lightning.worlds.two_rooms import draw_start, move, render, shortened

WALL, DOOR = np.array([32]), np.array([18])


def test_pictures_are_those_of_a_loop_over_pixels() -> None:
    (x, y), wall, door = (10.3, 41.8), 27, 50
    image = render(np.array([[x, y]]), np.array([wall]), np.array([door]))[0]
    for row in range(65):
        for column in range(65):
            dot = 255 * np.exp(-((column - x) ** 2 + (row - y) ** 2) / (2 * 1.3**2))
            assert abs(int(image[0, row, column]) - dot) <= 0.501
            border = row in (4, 60) or column in (4, 60)
            in_wall = abs(column - wall) <= 1 and abs(row - door) > 4
            assert image[1, row, column] == (255 if border or in_wall else 0)


def test_the_walls_have_the_published_mean_and_deviation() -> None:
    """Of the second channel: 0.0989 and 0.2986 (EB-JEPA, arXiv 2602.03604)."""
    walls = render(np.array([[10.0, 10.0]]), WALL, DOOR)[0, 1] / 255
    assert round(walls.mean(), 4) == 0.0989
    assert round(walls.std(), 4) == 0.2986


def test_actions_are_displacements_of_bounded_length() -> None:
    where = np.array([[20.0, 40.0]])
    np.testing.assert_allclose(move(where, np.array([[1.0, -2.0]]), WALL, DOOR, np.zeros(1)), [[21, 38]])
    np.testing.assert_allclose(move(where, np.array([[30.0, -40.0]]), WALL, DOOR, np.zeros(1)), [[21.47, 38.04]])
    np.testing.assert_allclose(shortened(np.array([[0.0, 0.0], [0.0, 9.0]])), [[0, 0], [0, 2.45]])


@pytest.mark.parametrize(("noise", "x"), [(0.0, 30.2), (-1.0, 30.0), (0.2, 30.2), (50.0, 28.5)])
def test_who_meets_a_wall_is_pushed_back_the_way_it_came(noise: float, x: float) -> None:
    """To 0.5 * abs(noise) from the wall at 30.5, not beyond the start, and out of the margin of 0.3."""
    end = move(np.array([[28.5, 40.0]]), np.array([[2.4, 0.0]]), WALL, DOOR, np.array([noise]))
    np.testing.assert_allclose(end, [[x, 40.0]])


def test_starts_lie_in_the_room_that_was_asked_for() -> None:
    generator = np.random.default_rng(0)
    left = np.array([draw_start(generator, 25, -1) for _ in range(500)])
    right = np.array([draw_start(generator, 25, 1) for _ in range(500)])
    for places, low, high in ((left[:, 0], 6.6, 20.9), (right[:, 0], 29.1, 57.4), (left[:, 1], 4.3, 59.7)):
        assert low <= places.min() < low + 0.5
        assert high - 0.5 < places.max() <= high
