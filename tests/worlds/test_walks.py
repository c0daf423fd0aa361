import numpy as np
import pytest

from jepa_lightning.worlds.collision import keep_margin
from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.walks import BLOCK, Walks, _led_back, walk


@pytest.fixture(scope="module")
def walks() -> Walks:
    return walk(seed=0, first=0, number=600, frames=91, layouts="train")


def test_each_action_leads_from_its_position_to_the_next(walks: Walks) -> None:
    """Any other phase fails: the next or the previous action explains far fewer steps."""

    def explained(actions: np.ndarray, positions: np.ndarray) -> float:
        return float((np.abs(np.diff(positions, axis=1) - actions).max(axis=2) < 1e-4).mean())

    assert explained(walks.actions, walks.positions) > 0.6
    assert explained(walks.actions[:, 1:], walks.positions[:, :-1]) < 0.01
    assert explained(walks.actions[:, :-1], walks.positions[:, 1:]) < 0.01


def test_a_walk_follows_from_its_seed_and_index(walks: Walks) -> None:
    for first, number in ((0, 2), (598, 2), (17, 1)):
        for part, whole in zip(walk(0, first, number, 91, "train"), walks, strict=True):
            np.testing.assert_array_equal(part, whole[first : first + number])
    over = walk(0, BLOCK - 2, 4, 5, "train")
    np.testing.assert_array_equal(over.positions[2:], walk(0, BLOCK, 2, 5, "train").positions)
    assert not np.array_equal(walk(1, 0, 2, 91, "train").positions, walks.positions[:2])
    assert not np.array_equal(walk(0, 0, 2, 91, "val").positions, walks.positions[:2])


def test_walks_stay_in_the_rooms_and_have_the_layouts_of_their_purpose(walks: Walks) -> None:
    for t in range(91):
        places = walks.positions[:, t].astype(float)
        # float32 rounds those that touch the margin
        assert np.abs(keep_margin(places, walks.walls, walks.doors) - places).max() < 1e-5
    known = {tuple(row) for row in layouts_of("train").tolist()}
    used = set(zip(walks.walls.tolist(), walks.doors.tolist(), strict=True))
    assert used <= known
    assert len(used) > 300


def test_a_third_passes_the_door_at_any_time(walks: Walks) -> None:
    side = np.sign(walks.positions[..., 0] - walks.walls[:, None])
    crosses = np.diff(side, axis=1) != 0
    assert 0.33 < crosses.any(axis=1).mean() < 0.48
    when = np.flatnonzero(crosses.any(axis=0))
    assert when.min() < 5
    assert when.max() > 85
    rows, times = np.nonzero(crosses)
    assert (np.abs(walks.positions[rows, times, 1] - walks.doors[rows]) < 4.5).all()


def test_walks_of_one_frame_have_no_actions() -> None:
    single = walk(0, 0, 3, 1, "fixed")
    assert single.positions.shape == (3, 1, 2)
    assert single.actions.shape == (3, 0, 2)
    assert (single.walls.tolist(), single.doors.tolist()) == ([32] * 3, [18] * 3)


def test_straight_walks_keep_heading_and_speed_and_run_against_walls(walks: Walks) -> None:
    found = walk(0, 0, 600, 91, "train", straight=0.5)
    changes = np.linalg.norm(np.diff(found.actions, axis=1), axis=2) > 1e-3
    assert (np.linalg.norm(np.diff(walks.actions, axis=1), axis=2) > 1e-3).mean() > 0.99
    # 90 steps are 3 legs, and those that are led back to where they start have one change more
    straight = changes.sum(axis=1) <= 3
    assert straight.mean() == pytest.approx(0.5, abs=0.07)
    lengths = np.linalg.norm(found.actions[straight], axis=2)
    assert lengths.max() <= 2.45 + 1e-6
    assert lengths.mean() == pytest.approx(2.45 / 2, abs=0.1)
    moved = np.linalg.norm(np.diff(found.positions[straight], axis=1), axis=2)
    held = (moved < 0.5 * lengths).mean(), (moved > 0.9 * lengths).mean()
    assert held[0] > 0.3
    assert held[1] > 0.3


def test_walks_that_are_not_straight_are_those_of_the_paper_bit_for_bit(walks: Walks) -> None:
    mixed = walk(0, 0, 600, 91, "train", straight=0.3)
    same = (mixed.actions == walks.actions).all(axis=(1, 2))
    assert same.mean() == pytest.approx(0.7, abs=0.06)
    for some, all_ in zip(mixed, walks, strict=True):
        np.testing.assert_array_equal(some[same], all_[same])


def test_walks_without_straight_ones_are_those_from_before_there_were_any() -> None:
    """The numbers are of the commit that brought two rooms, ffc7447."""
    first = walk(0, 0, 2, 4, "train")
    assert (first.walls.tolist(), first.doors.tolist()) == ([32, 42], [36, 18])
    np.testing.assert_allclose(
        first.positions,
        [
            [[6.7376, 37.0809], [7.4938, 37.4359], [8.7540, 36.7996], [9.5208, 36.4160]],
            [[51.3395, 17.3926], [49.9043, 17.4920], [49.0396, 17.5912], [48.2016, 17.7392]],
        ],
        atol=1e-4,
    )


def test_walks_pass_the_door_within_45_degrees_of_sideways() -> None:
    short = walk(0, 0, 600, 2, "train")
    in_door = np.abs(short.positions[:, 0, 0] - short.walls) < 1.5
    assert 0.3 < in_door.mean() < 0.4
    across, along = np.abs(short.actions[in_door, 0]).T
    assert (along <= across * (1 + 1e-5)).all()
    across, along = np.abs(short.actions[~in_door, 0]).T
    assert (along > across).mean() == pytest.approx(0.5, abs=0.1)


def test_a_walk_is_led_back_by_the_actions_that_lead_to_the_door() -> None:
    """The first is free all the way; the second comes from the end of the wall, and its first action is put last."""
    start, walls, doors = np.full((2, 2), [32.0, 18.0]), np.array([32, 32]), np.array([18, 18])
    actions = np.array([[(1.0, 0.0), (0.5, 0.2), (0.8, -0.1)], [(0.0, 2.4), (0.1, 2.3), (1.0, 0.0)]])
    positions, ordered = _led_back(start, actions, np.array([2, 2]), walls, doors)
    np.testing.assert_allclose(positions, [(30.5, 17.8), (31.9, 15.7)])
    np.testing.assert_array_equal(ordered, [actions[0], actions[1, [1, 2, 0]]])
