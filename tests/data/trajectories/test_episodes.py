import numpy as np
import pytest

from jepa_lightning.data.trajectories.episodes import split, statistics


def test_statistics_of_pieces_are_those_of_the_whole() -> None:
    """Also far from zero, where sums of squares would lose all digits."""
    draw = np.random.default_rng(0)
    whole = draw.normal(size=(1000, 3)) * [1, 1e-3, 50] + [0, 1e4, -3]
    pieces = np.split(whole, [1, 10, 10, 500])
    pieces[2] = np.full((2, 3), np.nan)
    pieces[3][4, 1] = np.nan  # the whole row is left out
    pieces[3][6, 0] = np.inf
    rows = np.concatenate(pieces)
    rows = rows[np.isfinite(rows).all(axis=1)]
    mean, std = statistics(iter(pieces), 3)
    np.testing.assert_allclose(mean, rows.mean(0), rtol=1e-9)
    np.testing.assert_allclose(std, rows.std(0), rtol=1e-6)
    mean, std = statistics(iter([np.full((4, 2), 7.0)]), 2)
    assert (mean, std) == ((7.0, 7.0), (1.0, 1.0))


@pytest.mark.parametrize(
    ("number", "fraction", "expected"), [(2, 0.01, 1), (2, 0.99, 1), (10, 0.25, 2), (100, 0.1, 10)]
)
def test_each_part_has_an_episode(number: int, fraction: float, expected: int) -> None:
    chosen = np.arange(number) * 3
    train, val = split(chosen, fraction, seed=1)
    assert len(val) == expected
    assert sorted([*train, *val]) == chosen.tolist()
    assert all((np.diff(part) > 0).all() for part in (train, val))
