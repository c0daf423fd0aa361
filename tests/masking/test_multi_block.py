import math
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.types import Masks

GRIDS = [(14, 14), (16, 16), (6, 6), (7, 11), (24, 8), (1, 40)]


def assert_valid(
    masks: Masks, batch_size: int, grid: tuple[int, int], num_targets: int = 4, min_keep: int = 10
) -> None:
    num_tokens = grid[0] * grid[1]
    context, target = masks
    assert context.dtype == target.dtype == torch.int64
    assert context.shape[0] == target.shape[0] == batch_size
    assert context.shape[1] >= min_keep
    assert target.shape[1] == num_targets
    for tokens in masks:
        assert tokens.min() >= 0
        assert tokens.max() < num_tokens
        assert (tokens.diff(dim=-1) > 0).all()
    hit = torch.zeros(batch_size, num_tokens, dtype=torch.bool).scatter_(1, target.flatten(1), True)
    assert not hit.gather(1, context).any()


def block_size(target: torch.Tensor, columns: int) -> tuple[int, int]:
    """Height and width of target blocks, which must all be full rectangles of one size."""
    rows, cols = target // columns, target % columns
    height, width = (int((axis.amax(-1) - axis.amin(-1)).max()) + 1 for axis in (rows, cols))
    corner = rows.amin(-1, keepdim=True) * columns + cols.amin(-1, keepdim=True)
    offsets = (torch.arange(height)[:, None] * columns + torch.arange(width)).flatten()
    assert torch.equal(target, corner + offsets)
    return height, width


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("batch_size", [1, 33])
def test_masks_are_sorted_in_range_disjoint_and_of_equal_length(grid: tuple[int, int], batch_size: int) -> None:
    torch.manual_seed(0)
    sampler = MultiBlockMask(grid)
    for _ in range(20):
        assert_valid(sampler(batch_size), batch_size, grid)


@pytest.mark.parametrize("grid", [(14, 14), (16, 16), (7, 11)])
def test_every_position_is_used_as_context_and_as_target(grid: tuple[int, int]) -> None:
    torch.manual_seed(0)
    sampler = MultiBlockMask(grid)
    batches = [sampler(256) for _ in range(20)]
    for tokens in zip(*batches, strict=True):
        used = torch.cat([token.flatten() for token in tokens]).unique()
        assert len(used) == grid[0] * grid[1]


@pytest.mark.parametrize(
    ("grid", "scale", "aspect", "size"),
    [
        (16, 48 / 256, 0.75, (6, 8)),
        (16, 48 / 256, 4 / 3, (8, 6)),
        ((8, 32), 36 / 256, 1.0, (6, 6)),
        ((2, 30), 0.2, 1.0, (2, 3)),  # 3.46 rows are clipped to the grid's two
        ((30, 3), 0.2, 0.5, (3, 3)),  # 6 columns are clipped to all three
    ],
)
def test_target_size_follows_scale_and_aspect(
    grid: int | tuple[int, int], scale: float, aspect: float, size: tuple[int, int]
) -> None:
    sampler = MultiBlockMask(grid, target_scale=(scale, scale), aspect_ratio=(aspect, aspect))
    columns = grid if isinstance(grid, int) else grid[1]
    assert block_size(sampler(16).target, columns) == size


@pytest.mark.parametrize(("grid", "block"), [((16, 16), (14, 14)), ((8, 32), (7, 28))])
def test_context_block_has_the_share_and_the_proportions_of_the_grid(
    grid: tuple[int, int], block: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    share = (7 / 8) ** 2
    sampler = MultiBlockMask(grid, context_scale=(share, share), target_scale=(0.01, 0.01), num_targets=1)
    extents = []
    for _ in range(300):
        context = sampler(1).context
        axes = (context // grid[1], context % grid[1])
        extents.append(tuple(int(axis.max() - axis.min()) + 1 for axis in axes))
    assert max(extents) == block
    assert sampler(1).context.shape[1] in range(math.prod(block) - 4, math.prod(block) + 1)


def test_context_of_full_scale_is_the_rest_of_the_grid() -> None:
    masks = MultiBlockMask((6, 9), context_scale=(1.0, 1.0))(1)
    assert torch.cat([masks.context[0], masks.target.flatten()]).unique().numel() == 54


def test_scale_and_aspect_are_independent() -> None:
    torch.manual_seed(0)
    sampler = MultiBlockMask(40, num_targets=1)
    sizes = torch.tensor([block_size(sampler(1).target, 40) for _ in range(400)], dtype=torch.float64)
    areas, aspects = sizes.prod(1), sizes[:, 0] / sizes[:, 1]
    large, tall = areas > 0.175 * 1600, aspects > 1.125
    for scale_half in (large, ~large):
        for aspect_half in (tall, ~tall):
            assert 0.17 < (scale_half & aspect_half).double().mean() < 0.33
    assert torch.corrcoef(torch.stack([areas, aspects]))[0, 1].abs() < 0.15


def test_cut_does_not_starve_any_row() -> None:
    torch.manual_seed(0)
    sampler = MultiBlockMask(16, context_scale=(1.0, 1.0))
    contexts = torch.cat([sampler(128).context.flatten() for _ in range(100)])
    rows = torch.bincount(contexts // 16, minlength=16).double()
    # a grid turned upside down is as likely: row r is kept as often as row 15 - r
    assert ((rows - rows.flip(0)).abs() / (rows + rows.flip(0))).max() < 0.02


def test_cut_is_a_uniform_choice() -> None:
    torch.manual_seed(0)
    # two targets of two tokens on a line of 12 leave 8 to 10; those that leave 10 are cut to 8
    sampler = MultiBlockMask((1, 12), (1.0, 1.0), (1 / 6, 1 / 6), (0.5, 0.5), num_targets=2, min_keep=1)
    kept = []
    for _ in range(2000):
        masks = sampler(64)
        assert masks.context.shape == (64, 8)
        twice = masks.target[:, 0, 0] == masks.target[:, 1, 0]
        context, start = masks.context[twice], masks.target[twice, 0, :1]
        ranks = context - 2 * (context > start)
        kept.append(torch.zeros(len(ranks), 10, dtype=torch.float64).scatter_(1, ranks, 1.0))
    choices = torch.cat(kept)
    together = choices.T @ choices / len(choices)
    assert len(choices) > 10_000
    assert (together.diagonal() - 8 / 10).abs().max() < 0.02
    pairs = together[~torch.eye(10, dtype=torch.bool)]
    assert (pairs - 8 / 10 * 7 / 9).abs().max() < 0.02


def test_samples_of_one_batch_are_cut_differently() -> None:
    torch.manual_seed(0)
    sampler = MultiBlockMask((1, 12), (1.0, 1.0), (1 / 6, 1 / 6), (0.5, 0.5), num_targets=2, min_keep=1)
    context, target = sampler(2000)
    same = ((target[:, :, 0] == 5).all(1)).nonzero()[:, 0]
    assert len(same) > 5
    assert len(context[same].unique(dim=0)) > 2


def test_a_generator_replays_a_batch_and_spares_the_global_one() -> None:
    sampler = MultiBlockMask(14)
    before = torch.get_rng_state()
    first, again, other = (sampler(8, torch.Generator().manual_seed(seed)) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.context, again.context)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.target[:, :, 0], other.target[:, :, 0])


def test_the_global_generator_replays_a_batch() -> None:
    sampler = MultiBlockMask(14)
    torch.manual_seed(5)
    first = sampler(8)
    torch.manual_seed(5)
    again = pickle.loads(pickle.dumps(sampler))(8)
    assert torch.equal(first.context, again.context)
    assert torch.equal(first.target, again.target)


def test_short_contexts_are_drawn_again() -> None:
    torch.manual_seed(0)
    loose, strict = (MultiBlockMask(6, min_keep=min_keep) for min_keep in (1, 16))
    assert min(loose(256).context.shape[1] for _ in range(20)) < 10
    for _ in range(20):
        assert_valid(strict(256), 256, (6, 6), min_keep=16)


@pytest.mark.parametrize("grid", [(rows, columns) for rows in range(1, 6) for columns in range(1, 6)])
@pytest.mark.parametrize("min_keep", [1, 4, 10])
def test_tiny_grids_work_or_are_refused(grid: tuple[int, int], min_keep: int) -> None:
    torch.manual_seed(0)
    try:
        sampler = MultiBlockMask(grid, min_keep=min_keep)
    except ValueError as error:
        assert "larger grid" in str(error)  # noqa: PT017
        return
    for _ in range(3):
        assert_valid(sampler(8), 8, grid, min_keep=min_keep)


def test_a_grid_that_cannot_keep_enough_is_refused_with_the_numbers() -> None:
    words = r"4 1x2 target blocks and a 3x3 context block on a 3x3 grid"
    with pytest.raises(ValueError, match=rf"{words} leave min_keep=10 tokens in 0 of 1000 draws and 7 at best"):
        MultiBlockMask(3)
    MultiBlockMask(3, min_keep=4)


def test_a_grid_that_hardly_ever_keeps_enough_is_refused() -> None:
    # 10 of 15 tokens are left only when all four 2x2 targets fall on one place, once in 512 draws
    with pytest.raises(ValueError, match=r"5x3 grid leave min_keep=10 tokens in [1-9] of 1000 draws and 11 at best"):
        MultiBlockMask((5, 3))


def test_targets_below_one_token_are_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"target_scale \(0.15, 0.2\).* 2x2 grid.* 0.25"):
        MultiBlockMask(2, min_keep=1)


def test_contexts_that_never_come_long_enough_end_in_an_error() -> None:
    sampler = MultiBlockMask((1, 12), (1.0, 1.0), (1 / 6, 1 / 6), (0.5, 0.5), min_keep=4)
    sampler.min_keep = 11  # past the check at construction
    with pytest.raises(ValueError, match=r"4 of 4 contexts .*min_keep=11 .*10000 draws .*4 1x2 .*1x12 grid: lower min"):
        sampler(4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"grid_size": 0}, "grid_size 0 is too small"),
        ({"grid_size": (8, 14, 14)}, "has 3 axes: give rows and columns"),
        ({"context_scale": (0.5, 1.1)}, r"context_scale \(0.5, 1.1\).*<= 1"),
        ({"target_scale": (0.2, 0.15)}, r"target_scale \(0.2, 0.15\)"),
        ({"target_scale": (0.0, 0.15)}, r"target_scale \(0.0, 0.15\)"),
        ({"aspect_ratio": (-1.0, 1.5)}, r"aspect_ratio \(-1.0, 1.5\)"),
        ({"aspect_ratio": (1.0, math.inf)}, r"aspect_ratio \(1.0, inf\)"),
        ({"num_targets": 0}, "num_targets 0 is too small"),
        ({"min_keep": 0}, "min_keep 0 is too small"),
    ],
)
@pytest.mark.parametrize("legacy", [False, True])
def test_nonsense_is_refused(arguments: dict[str, object], message: str, legacy: bool) -> None:
    with pytest.raises(ValueError, match=message):
        MultiBlockMask(**{"grid_size": 14, "legacy": legacy, **arguments})  # type: ignore[arg-type]


class CollateMasks:
    def __init__(self, sampler: MultiBlockMask) -> None:
        self.sampler = sampler

    def __call__(self, samples: list[int]) -> Masks:
        return self.sampler(len(samples))


def test_workers_draw_valid_and_different_masks() -> None:
    loader = DataLoader(range(64), batch_size=16, num_workers=2, collate_fn=CollateMasks(MultiBlockMask(14)))  # type: ignore[arg-type]
    batches = list(loader)
    for masks in batches:
        assert_valid(masks, 16, (14, 14))
    assert len({tuple(masks.target[:, :, 0].flatten().tolist()) for masks in batches}) == 4


def test_batches_with_one_generator_of_sizes_have_blocks_of_one_size_at_other_places() -> None:
    sampler = MultiBlockMask(14)
    first, second = (
        sampler(4, torch.Generator().manual_seed(place), sizes=torch.Generator().manual_seed(3)) for place in (0, 1)
    )
    corner = first.target[..., :1]
    assert torch.equal((first.target - corner)[0, 0], (second.target - second.target[..., :1])[0, 0])
    assert not torch.equal(first.target, second.target)


def test_blocks_of_a_series_have_their_share_of_its_length() -> None:
    masks = MultiBlockMask((1, 40), target_scale=(0.2, 0.2), context_scale=(1.0, 1.0), num_targets=2, min_keep=4)(32)
    assert masks.target.shape == (32, 2, 8)
    assert (masks.target.diff(dim=-1) == 1).all()
    assert masks.context.shape[1] >= 24
