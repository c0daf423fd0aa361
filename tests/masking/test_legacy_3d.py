import copy
import math
import pickle

import pytest
import torch

from jepa_lightning.masking import MultiBlock3DMask
from jepa_lightning.types import Masks

DEFAULTS = {
    "num_blocks": 8, "spatial_scale": (0.15, 0.15), "temporal_scale": (1.0, 1.0), "aspect_ratio": (0.75, 1.5),
    "context_share": 1.0, "max_keep": None,
}  # fmt: skip
LONG = {"num_blocks": 2, "spatial_scale": (0.7, 0.7)}


def slow_size(count, grid, arguments):
    """Frames, rows and columns of the blocks of a batch as SPEC 3.2 has them."""
    generator = torch.Generator()
    generator.manual_seed(count)
    drawn = []
    for name in ("temporal_scale", "spatial_scale", "aspect_ratio"):
        low, high = arguments[name]
        drawn.append(low + torch.rand(1, generator=generator).item() * (high - low))
    time, space, ratio = drawn
    tokens = int(grid[1] * grid[2] * space)
    height, width = round(math.sqrt(tokens * ratio)), round(math.sqrt(tokens / ratio))
    return max(1, int(grid[0] * time)), min(height, grid[1]), min(width, grid[2])


def slow_sample(size, grid, arguments):
    """Context and target of a sample, from the global generator."""
    last = max(1, int(grid[0] * arguments["context_share"]))
    cells = [(t, r, c) for t in range(grid[0]) for r in range(grid[1]) for c in range(grid[2])]
    while True:
        blocks = []
        for _ in range(arguments["num_blocks"]):
            row = torch.randint(0, grid[1] - size[1] + 1, (1,)).item()
            column = torch.randint(0, grid[2] - size[2] + 1, (1,)).item()
            blocks.append((torch.randint(0, grid[0] - size[0] + 1, (1,)).item(), row, column))
        context, target = [], []
        for token, cell in enumerate(cells):
            hit = any(all(b <= x < b + s for x, b, s in zip(cell, block, size, strict=True)) for block in blocks)
            (target if hit or cell[0] >= last else context).append(token)
        if context:
            return context, target


def slow_masks(count, batch_size, grid, arguments):
    size = slow_size(count, grid, arguments)
    contexts, targets = zip(*[slow_sample(size, grid, arguments) for _ in range(batch_size)], strict=True)
    seen, hidden = (min(map(len, side)) for side in (contexts, targets))
    seen = min(seen, arguments["max_keep"] or seen)
    return Masks(torch.tensor([c[:seen] for c in contexts]), torch.tensor([[t[:hidden]] for t in targets]))


@pytest.mark.parametrize("batch_size", [1, 4])
@pytest.mark.parametrize(
    ("grid", "arguments"),
    [
        ((4, 14, 14), {}),
        ((4, 12, 9), LONG),
        ((3, 2, 20), {"num_blocks": 2, "spatial_scale": (0.3, 0.6)}),  # clipped to the grid's two rows
        ((6, 7, 11), {"temporal_scale": (0.1, 0.8), "spatial_scale": (0.1, 0.4), "aspect_ratio": (0.3, 3.0)}),
        ((5, 8, 8), {"context_share": 0.5}),
        ((5, 8, 8), {"context_share": 0.1, "temporal_scale": (0.5, 0.9)}),
        ((4, 10, 10), {"max_keep": 20}),
        # contexts may be empty and are drawn again: six blocks of 3x3 on 4x4
        ((2, 4, 4), {"num_blocks": 6, "spatial_scale": (0.6, 0.6), "aspect_ratio": (1.0, 1.0)}),
        ((2, 4, 4), {"num_blocks": 6, "spatial_scale": (0.6, 0.6), "max_keep": 1, "context_share": 0.5}),
    ],
)
def test_equals_a_slow_version_draw_for_draw(grid, arguments, batch_size: int) -> None:
    arguments = {**DEFAULTS, **arguments}
    sampler = MultiBlock3DMask(grid, **arguments, legacy=True)
    torch.manual_seed(7)
    fast = [sampler(batch_size) for _ in range(6)]
    after = torch.get_rng_state()
    torch.manual_seed(7)
    slow = [slow_masks(count, batch_size, grid, arguments) for count in range(6)]
    assert torch.equal(torch.get_rng_state(), after)
    for ours, theirs in zip(fast, slow, strict=True):
        assert ours.context.dtype == ours.target.dtype == torch.int64
        assert torch.equal(ours.context, theirs.context)
        assert torch.equal(ours.target, theirs.target)


# SPEC 3.2, typical sizes of batches of 24: 16 frames of 224 and of 256 pixels, 64 frames of 256
@pytest.mark.parametrize(
    ("grid", "arguments", "lengths"),
    [
        ((8, 14, 14), {}, (375, 738)),
        ((8, 14, 14), LONG, (104, 1100)),
        ((8, 16, 16), {}, (499, 982)),
        ((8, 16, 16), LONG, (130, 1429)),
        ((32, 16, 16), {}, (1958, 3820)),
        ((32, 16, 16), LONG, (534, 5766)),
    ],
)
def test_mean_lengths_are_those_measured_in_the_reference(grid, arguments, lengths: tuple[int, int]) -> None:
    torch.manual_seed(0)
    sampler = MultiBlock3DMask(grid, **arguments, legacy=True)
    drawn = torch.tensor([[tokens.shape[-1] for tokens in sampler(24)] for _ in range(200)], dtype=torch.float64)
    assert drawn.mean(0).tolist() == pytest.approx(lengths, rel=0.05)  # standard errors of up to 3 % here


def test_the_last_frames_starve_as_in_the_reference() -> None:
    torch.manual_seed(0)
    sampler = MultiBlock3DMask((8, 14, 14), **LONG, legacy=True)
    frames = torch.cat([sampler(24).context.flatten() for _ in range(100)]) // 196
    shares = torch.bincount(frames, minlength=8) / len(frames)
    assert shares.tolist() == pytest.approx([0.34, 0.29, 0.17, 0.10, 0.04, 0.03, 0.02, 0.02], abs=0.03)


def test_a_generator_places_blocks_while_sizes_follow_the_count() -> None:
    samplers = [MultiBlock3DMask((4, 14, 14), num_blocks=1, legacy=True) for _ in range(2)]
    before = torch.get_rng_state()
    first, again = (sampler(4, torch.Generator().manual_seed(1)) for sampler in samplers)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.target, again.target)
    expected = [math.prod(slow_size(count, (4, 14, 14), DEFAULTS)) for count in range(1, 10)]
    assert len(set(expected)) > 1
    assert [samplers[0](4, torch.Generator().manual_seed(1)).target.shape[2] for _ in range(9)] == expected


def test_copies_count_on_from_the_same_number() -> None:
    sampler = MultiBlock3DMask((4, 14, 14), num_blocks=1, legacy=True)
    sampler(1), sampler(1)
    expected = [math.prod(slow_size(count, (4, 14, 14), DEFAULTS)) for count in range(2, 10)]
    for other in (copy.deepcopy(sampler), pickle.loads(pickle.dumps(sampler)), sampler):
        assert [other(1).target.shape[2] for _ in range(8)] == expected


def test_blocks_below_one_token_are_refused() -> None:
    with pytest.raises(ValueError, match="spatial_scale"):
        MultiBlock3DMask((4, 2, 2), legacy=True)
