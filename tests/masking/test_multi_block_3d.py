import itertools
import pickle

import pytest
import torch
from torch import Tensor

from jepa_lightning.masking import MultiBlock3DMask, multi_block_3d

GRID = (8, 14, 14)
SHORT, LONG = {"num_blocks": 8, "spatial_scale": (0.15, 0.15)}, {"num_blocks": 2, "spatial_scale": (0.7, 0.7)}


def extents(tokens: Tensor, grid: tuple[int, int, int]) -> tuple[int, ...]:
    """Frames, rows and columns of the box around the tokens, which must fill it."""
    axes = torch.unravel_index(tokens, grid)
    size = tuple(int(axis.max() - axis.min()) + 1 for axis in axes)
    assert len(tokens) == torch.tensor(size).prod()
    return size


@pytest.mark.parametrize("batch_size", [1, 24])
@pytest.mark.parametrize("blocks", [SHORT, LONG])
@pytest.mark.parametrize("grid", [GRID, (4, 9, 16), (1, 12, 12)])
def test_masks_are_sorted_in_range_disjoint_and_of_equal_length(grid, blocks, batch_size: int) -> None:
    torch.manual_seed(0)
    positions = grid[1] * grid[2]
    for masks in (MultiBlock3DMask(grid, **blocks)(batch_size) for _ in range(10)):
        context, target = masks
        assert context.shape[0] == batch_size
        assert target.shape[:2] == (batch_size, 1)
        assert context.shape[1] >= 10
        for tokens in masks:
            assert tokens.dtype == torch.int64
            assert tokens.is_contiguous()
            assert (tokens.diff(dim=-1) > 0).all()
            assert tokens.min() >= 0
            assert tokens.max() < grid[0] * positions
        for seen, hidden in zip(context % positions, target[:, 0] % positions, strict=True):
            assert not torch.isin(seen, hidden).any()  # no position is seen at one time and predicted at another
        if batch_size == 1:  # nothing is cut
            assert torch.equal(torch.cat([context[0], target[0, 0]]).sort().values, torch.arange(grid[0] * positions))


def test_targets_are_unions_of_rectangles_through_all_frames() -> None:
    torch.manual_seed(0)
    sampler = MultiBlock3DMask((3, 5, 6), 2, (0.2, 0.2), aspect_ratio=(1.5, 1.5))  # 6 tokens: 3 rows, 2 columns
    corners = list(itertools.product(range(5 - 3 + 1), range(6 - 2 + 1)))
    rectangles = [{(top + i) * 6 + left + j for i in range(3) for j in range(2)} for top, left in corners]
    unions = {frozenset(a | b) for a, b in itertools.product(rectangles, repeat=2)}
    for _ in range(200):
        frames = sampler(1).target.view(3, -1)
        assert (frames // 30 == torch.arange(3)[:, None]).all()
        assert (frames % 30 == frames[0]).all()
        assert frozenset(frames[0].tolist()) in unions


def test_all_places_that_fit_are_as_likely() -> None:
    sampler = MultiBlock3DMask((4, 3, 5), 1, (0.4, 0.4), (0.5, 0.5), (1.0, 1.0))  # blocks of 2x2x2: 3 * 2 * 4 places
    first = sampler(4800, torch.Generator().manual_seed(0)).target[:, 0, 0]
    counts = first.unique(return_counts=True)[1].double()
    assert len(counts) == 24
    assert ((counts - 200) ** 2 / 200).sum() < 49.7  # 23 degrees of freedom, once in a thousand


@pytest.mark.parametrize(
    ("scale", "aspect", "size"),
    [(0.15, 0.75, (5, 6)), (0.15, 1.5, (7, 4)), (0.7, 0.75, (10, 14)), (0.7, 1.5, (14, 10)), (0.95, 0.5, (10, 14))],
)
def test_size_follows_scale_and_aspect(scale: float, aspect: float, size: tuple[int, int]) -> None:
    target = MultiBlock3DMask(GRID, 1, (scale, scale), (0.5, 0.5), (aspect, aspect))(16).target
    assert {extents(tokens[0], GRID) for tokens in target} == {(4, *size)}


def test_a_batch_has_one_size_of_three_independent_draws() -> None:
    torch.manual_seed(0)
    grid, sizes = (12, 16, 16), []
    sampler = MultiBlock3DMask(grid, 1, (0.1, 0.4), (0.2, 1.0))
    for _ in range(400):
        in_batch = {extents(tokens[0], grid) for tokens in sampler(2).target}
        assert len(in_batch) == 1
        sizes.append(in_batch.pop())
    time, height, width = torch.tensor(sizes, dtype=torch.float64).T
    correlation = torch.corrcoef(torch.stack([time, height * width, (height / width).log()]))
    assert (correlation - torch.eye(3)).abs().max() < 0.17  # 3.4 standard errors


def test_short_contexts_are_drawn_again() -> None:
    torch.manual_seed(0)
    loose, strict = (MultiBlock3DMask((2, 6, 6), 4, (0.3, 0.3), min_keep=min_keep) for min_keep in (1, 20))
    assert min(loose(64).context.shape[1] for _ in range(20)) < 16
    assert min(strict(64).context.shape[1] for _ in range(20)) >= 20


def test_a_generator_replays_a_batch_and_spares_the_global_one() -> None:
    sampler, before = MultiBlock3DMask(GRID, max_keep=50), torch.get_rng_state()
    first, again, other = (sampler(8, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first.context, other.context)
    torch.manual_seed(3)
    assert all(torch.equal(*p) for p in zip(first, pickle.loads(pickle.dumps(sampler))(8), strict=True))


def test_grids_that_keep_too_little_are_refused_with_the_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    words = r"8 blocks of 2x4x4 tokens on a 2x4x4 grid leave min_keep=10 tokens in 0 of 1000 draws and 0 at best: lower"
    for legacy, min_keep in ((False, 10), (True, 1)):
        with pytest.raises(ValueError, match=words.replace("10 tokens", f"{min_keep} tokens")):
            MultiBlock3DMask((2, 4, 4), spatial_scale=(1.0, 1.0), legacy=legacy)
    monkeypatch.setattr(multi_block_3d, "MAX_ROUNDS", 5)
    sampler = MultiBlock3DMask((2, 4, 4), 1, aspect_ratio=(1.0, 1.0))
    sampler.min_keep = 31  # past the check at construction
    with pytest.raises(ValueError, match=r"4 of 4 contexts .*min_keep=31 .*5 draws of 1 blocks of 2x2x2 .*: lower min"):
        sampler(4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid_size": (14, 14)}, r"grid_size \(14, 14\) has 2 axes: give frames, rows and columns"),
        ({"grid_size": (0, 14, 14)}, "grid_size 0 is too small"),
        ({"num_blocks": 0}, "num_blocks 0 is too small: give at least 1"),
        ({"min_keep": 0}, "min_keep 0 is too small"),
        ({"max_keep": -1}, "max_keep -1 is too small"),
        pytest.param({"max_keep": 0}, "max_keep 0 is too small"),
        ({"spatial_scale": (0.5, 1.1)}, r"spatial_scale \(0.5, 1.1\) is no range.* <= 1"),
        ({"temporal_scale": (0.0, 1.0)}, r"temporal_scale \(0.0, 1.0\)"),
        ({"aspect_ratio": (1.5, 0.75)}, r"aspect_ratio \(1.5, 0.75\)"),
        ({"context_share": 1.5}, r"context_share .*1.5"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_nonsense_is_refused(arguments, message: str, legacy: bool) -> None:
    with pytest.raises(ValueError, match=message):
        MultiBlock3DMask(**{"grid_size": GRID, "legacy": legacy, **arguments})
