import math

import pytest
import torch

from jepa_lightning.nn import grid_size, sincos_pos_embed


def slow_1d(width: int, position: int) -> list[float]:
    half = width // 2
    omegas = [10000 ** (-k / half) for k in range(half)]
    return [math.sin(position * w) for w in omegas] + [math.cos(position * w) for w in omegas]


@pytest.mark.parametrize("order", ["wh", "hw"])
def test_image_table_equals_a_slow_one(order: str) -> None:
    table = sincos_pos_embed(16, (3, 5), order=order)
    for row in range(3):
        for column in range(5):
            first, second = (column, row) if order == "wh" else (row, column)
            expected = torch.tensor(slow_1d(8, first) + slow_1d(8, second))
            torch.testing.assert_close(table[row * 5 + column], expected)


def test_image_table_has_columns_first_by_default() -> None:
    assert torch.equal(sincos_pos_embed(8, (2, 3)), sincos_pos_embed(8, (2, 3), order="wh"))


@pytest.mark.parametrize(("uniform", "shares"), [(False, (16, 8, 8)), (True, (12, 12, 12))])
def test_clip_table_equals_a_slow_one(uniform: bool, shares: tuple[int, int, int]) -> None:
    table = sincos_pos_embed(32, (2, 3, 4), uniform=uniform)
    assert table.shape == (24, 32)
    token = 1 * 12 + 2 * 4 + 3  # frame 1, row 2, column 3
    expected = slow_1d(shares[0], 1) + slow_1d(shares[1], 2) + slow_1d(shares[2], 3)
    torch.testing.assert_close(table[token], torch.tensor(expected[:32]))


@pytest.mark.parametrize(("grid", "width"), [((2, 2), 6), ((2, 2, 2), 12)])
def test_widths_that_cannot_be_shared_out_are_refused(grid: tuple[int, ...], width: int) -> None:
    with pytest.raises(ValueError, match=f"width {width} is not a multiple"):
        sincos_pos_embed(width, grid)


def test_grid_size_of_rectangles_and_clips() -> None:
    assert grid_size((32, 48), (8, 8)) == (4, 6)
    assert grid_size((16, 32, 32), (2, 8, 8)) == (8, 4, 4)


@pytest.mark.parametrize(
    ("size", "patch", "message"),
    [
        ((30, 32), (8, 8), "patch 8x8 does not divide an input of 30x32"),
        ((4, 4), (8, 8), "an input of 4x4 is smaller than a patch of 8x8"),
        ((2, 8, 8), (8, 8), r"clips are \[B, C, T, H, W\]"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(size: tuple[int, ...], patch: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        grid_size(size, patch)


def test_positions_of_a_series_are_sines_then_cosines() -> None:
    table = sincos_pos_embed(8, (5,))
    angles = torch.arange(5)[:, None] / 10000 ** (torch.arange(4) / 4)
    torch.testing.assert_close(table, torch.cat([angles.sin(), angles.cos()], dim=1))
    with pytest.raises(ValueError, match="width 7 is not a multiple of 2"):
        sincos_pos_embed(7, (5,))
