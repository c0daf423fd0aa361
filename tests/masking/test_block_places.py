import pytest
import torch

from jepa_lightning.masking.block_places import block_cover, block_tokens

GRID = (4, 5)


def slow_places(size):
    """The tokens of each place, by loops."""
    (rows, columns), (height, width) = GRID, size
    return [
        [(top + i) * columns + left + j for i in range(height) for j in range(width)]
        for top in range(rows - height + 1)
        for left in range(columns - width + 1)
    ]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2), (4, 5)])
def test_tokens_of_every_place_equal_a_loop(size):
    assert block_tokens(GRID, size).tolist() == slow_places(size)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (3, 2), (4, 5)])
def test_cover_has_the_same_places_with_tokens_in_the_given_order(size):
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    expected = [[int(token) in place for token in order] for place in slow_places(size)]
    assert block_cover(GRID, size, order).tolist() == expected
