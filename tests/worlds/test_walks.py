import numpy as np
import pytest

from jepa_lightning.worlds.collision import keep_margin
from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.walks import BLOCK, Walks, walk


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
