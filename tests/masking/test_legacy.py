import copy
import math
import pickle

import pytest
import torch
from torch.utils.data import DataLoader

from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.types import Masks

DEFAULTS = {
    "context_scale": (0.85, 1.0),
    "target_scale": (0.15, 0.2),
    "aspect_ratio": (0.75, 1.5),
    "num_targets": 4,
    "min_keep": 10,
}


def slow_size(share, scale, aspect, rows, columns):
    tokens = int(rows * columns * (scale[0] + share * (scale[1] - scale[0])))
    ratio = aspect[0] + share * (aspect[1] - aspect[0])
    height, width = round(math.sqrt(tokens * ratio)), round(math.sqrt(tokens / ratio))
    while height >= rows:
        height -= 1
    while width >= columns:
        width -= 1
    return height, width


def slow_sizes(count, rows, columns, context_scale, target_scale, aspect_ratio):
    generator = torch.Generator()
    generator.manual_seed(count)
    target = slow_size(torch.rand(1, generator=generator).item(), target_scale, aspect_ratio, rows, columns)
    context = slow_size(torch.rand(1, generator=generator).item(), context_scale, (1.0, 1.0), rows, columns)
    return target, context


def slow_block(size, rows, columns, complements, min_keep):
    """One block as SPEC 3.1 has it, from the global generator: its tokens, and a map of ones outside it."""
    tries, timeout = 0, 20
    while True:
        top = torch.randint(0, rows - size[0], (1,)).item()
        left = torch.randint(0, columns - size[1], (1,)).item()
        inside = [
            [top <= r < top + size[0] and left <= c < left + size[1] for c in range(columns)] for r in range(rows)
        ]
        obeyed = complements[: max(len(complements) - tries, 0)]
        tokens = [
            r * columns + c
            for r in range(rows)
            for c in range(columns)
            if inside[r][c] and all(complement[r][c] for complement in obeyed)
        ]
        if len(tokens) > min_keep:
            return tokens, [[not cell for cell in row] for row in inside]
        timeout -= 1
        if timeout == 0:
            tries, timeout = tries + 1, 20


def slow_masks(count, batch_size, rows, columns, context_scale, target_scale, aspect_ratio, num_targets, min_keep):
    target_size, context_size = slow_sizes(count, rows, columns, context_scale, target_scale, aspect_ratio)
    contexts, targets = [], []
    for _ in range(batch_size):
        blocks = [slow_block(target_size, rows, columns, [], min_keep) for _ in range(num_targets)]
        targets.append([tokens for tokens, _ in blocks])
        contexts.append(slow_block(context_size, rows, columns, [outside for _, outside in blocks], min_keep)[0])
    shortest = min(len(context) for context in contexts)
    return Masks(torch.tensor([context[:shortest] for context in contexts]), torch.tensor(targets))


@pytest.mark.parametrize("batch_size", [1, 5])
@pytest.mark.parametrize(
    ("grid", "arguments"),
    [
        ((14, 14), {}),
        ((16, 16), {}),
        ((12, 20), {}),
        ((9, 9), {"min_keep": 4, "num_targets": 2, "aspect_ratio": (0.3, 3.0)}),
        ((10, 10), {"target_scale": (0.3, 0.4), "min_keep": 20}),  # contexts fail and give up targets
        ((10, 10), {"target_scale": (0.8, 0.9), "aspect_ratio": (1.0, 1.0), "min_keep": 60}),  # down to none
    ],
)
def test_equals_a_slow_version_draw_for_draw(grid, arguments, batch_size) -> None:
    arguments = {**DEFAULTS, **arguments}
    sampler = MultiBlockMask(grid, **arguments, legacy=True)
    torch.manual_seed(7)
    fast = [sampler(batch_size) for _ in range(8)]
    after = torch.get_rng_state()
    torch.manual_seed(7)
    slow = [slow_masks(count, batch_size, *grid, **arguments) for count in range(8)]
    assert torch.equal(torch.get_rng_state(), after)
    for ours, theirs in zip(fast, slow, strict=True):
        assert torch.equal(ours.context, theirs.context)
        assert torch.equal(ours.target, theirs.target)


def test_a_context_that_fails_may_overlap_the_last_targets_only() -> None:
    torch.manual_seed(0)
    sampler = MultiBlockMask(10, target_scale=(0.3, 0.4), min_keep=20, legacy=True)
    overlaps = torch.zeros(4)
    for _ in range(30):
        context, target = sampler(1)
        overlaps += torch.stack([torch.isin(block, context[0]).any() for block in target[0]])
    assert overlaps[0] == 0
    assert overlaps[3] > 0
    assert (overlaps.diff() >= 0).all()


@pytest.mark.parametrize(
    ("grid", "sizes"),
    [
        (16, {(5, 7), (6, 6), (6, 7), (7, 6), (8, 6), (9, 6)}),
        (14, {(5, 6), (6, 5), (6, 6), (7, 5), (8, 5)}),
        (28, {(9, 12), (15, 10)}),
    ],
)
def test_target_sizes_are_those_observed_in_the_reference(grid: int, sizes: set[tuple[int, int]]) -> None:
    sampler = MultiBlockMask(grid, legacy=True)
    seen = set()
    for _ in range(500):
        block = sampler(1).target[0, 0]
        seen.add(tuple(int(axis.max() - axis.min()) + 1 for axis in (block // grid, block % grid)))
    assert sizes <= seen
    assert seen == sizes or grid == 28  # of 28x28 the first and the last are known


@pytest.mark.parametrize("grid", [14, 16])
def test_the_last_row_and_column_are_never_used(grid: int) -> None:
    sampler = MultiBlockMask(grid, legacy=True)
    batches = [sampler(32) for _ in range(10)]
    for tokens in zip(*batches, strict=True):
        used = torch.cat([token.flatten() for token in tokens]).unique()
        rows, columns = used // grid, used % grid
        assert rows.max() == columns.max() == grid - 2
        assert rows.min() == columns.min() == 0


def test_the_context_block_is_always_15x15_at_the_origin_of_a_16x16_grid() -> None:
    sampler = MultiBlockMask(16, legacy=True)
    block = {row * 16 + column for row in range(15) for column in range(15)}
    for _ in range(50):
        context, target = sampler(1)
        assert set(context[0].tolist()) == block - set(target.flatten().tolist())


@pytest.mark.parametrize(("batch_size", "batches", "length"), [(1, 800, 110), (16, 200, 80), (128, 60, 69)])
def test_context_lengths_fall_with_the_batch_as_in_the_reference(batch_size: int, batches: int, length: int) -> None:
    torch.manual_seed(0)
    sampler = MultiBlockMask(16, legacy=True)
    lengths = [sampler(batch_size).context.shape[1] for _ in range(batches)]
    assert sum(lengths) / batches == pytest.approx(length, abs=2.5)


def test_a_generator_places_blocks_while_sizes_follow_the_count() -> None:
    samplers = [MultiBlockMask(14, legacy=True) for _ in range(2)]
    before = torch.get_rng_state()
    first, again = (sampler(4, torch.Generator().manual_seed(1)) for sampler in samplers)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.target, again.target)
    sizes = [math.prod(slow_sizes(count, 14, 14, *list(DEFAULTS.values())[:3])[0]) for count in range(1, 10)]
    assert [samplers[0](4, torch.Generator().manual_seed(1)).target.shape[2] for _ in range(9)] == sizes


def test_blocks_that_the_reference_would_draw_for_ever_are_refused_with_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"6x6 grid have blocks of 2x3 tokens.*min_keep=10.*legacy=False"):
        MultiBlockMask(6, legacy=True)
    with pytest.raises(ValueError, match=r"1x40 grid have blocks of 0x3 tokens"):
        MultiBlockMask((1, 40), min_keep=1, legacy=True)


def test_copies_count_on_from_the_same_number() -> None:
    sampler = MultiBlockMask(14, legacy=True)
    sampler(1), sampler(1)
    for other in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler))):
        lengths = [other(1).target.shape[2] for _ in range(8)]
        expected = [math.prod(slow_sizes(count, 14, 14, *list(DEFAULTS.values())[:3])[0]) for count in range(2, 10)]
        assert lengths == expected
    assert sampler(1).target.shape[2] == expected[0]


class CollateMasks:
    def __init__(self, sampler: MultiBlockMask) -> None:
        self.sampler = sampler

    def __call__(self, samples: list[int]) -> Masks:
        return self.sampler(len(samples))


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_share_the_count(start: str) -> None:
    sampler = MultiBlockMask(14, legacy=True)
    loader = DataLoader(
        range(48), batch_size=4, num_workers=2, collate_fn=CollateMasks(sampler), multiprocessing_context=start
    )
    lengths = [masks.target.shape[2] for masks in loader] + [sampler(4).target.shape[2]]
    expected = [math.prod(slow_sizes(count, 14, 14, *list(DEFAULTS.values())[:3])[0]) for count in range(13)]
    # which worker takes which number is chance, but each number is taken once
    assert sorted(lengths[:12]) == sorted(expected[:12])
    assert lengths[12] == expected[12]


def test_sizes_can_come_from_a_generator_instead_of_the_count() -> None:
    sampler = MultiBlockMask(16, legacy=True)
    shapes = [[sampler(2, sizes=torch.Generator().manual_seed(seed)).target.shape for seed in range(20)] for _ in "ab"]
    assert shapes[0] == shapes[1]
    assert len(set(shapes[0])) > 1
