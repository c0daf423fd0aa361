import pytest
import torch

from jepa_lightning.masking import MultiBlock3DMask
from jepa_lightning.types import Masks

GRID = (8, 14, 14)
SHORT, LONG = {"num_blocks": 8, "spatial_scale": (0.15, 0.15)}, {"num_blocks": 2, "spatial_scale": (0.7, 0.7)}
FRAMES_999 = 24.3  # chi-square of 7 degrees of freedom exceeds this once in a thousand


def time_chi_square(batches: list[Masks], side: int) -> float:
    """How unevenly what is kept lies over time, if blocks go through all of it: 7 on average if the cut is uniform."""
    frames, positions = GRID[0], GRID[1] * GRID[2]
    kept, expected, variance = torch.zeros(frames, dtype=torch.float64), 0.0, 0.0
    for masks in batches:
        covered = torch.zeros(len(masks.target), positions).scatter_(1, masks.target[:, 0] % positions, 1.0).sum(1)
        uncut, count = frames * (covered if side else positions - covered), masks[side].shape[-1]
        kept += torch.bincount(masks[side].flatten() // positions, minlength=frames)
        expected += len(uncut) * count / frames
        # of a choice of count among uncut tokens, as many in each frame (hypergeometric)
        variance += float((count / frames * (1 - 1 / frames) * (uncut - count) / (uncut - 1)).sum())
    return float(((kept - expected) ** 2).sum() / variance * (1 - 1 / frames))


@pytest.mark.parametrize("side", [0, 1], ids=["context", "target"])
@pytest.mark.parametrize("blocks", [SHORT, LONG], ids=["short", "long"])
def test_what_is_kept_is_uniform_over_time_and_in_legacy_mode_is_not(blocks, side: int) -> None:
    torch.manual_seed(0)
    fair, legacy = (MultiBlock3DMask(GRID, **blocks, legacy=legacy) for legacy in (False, True))
    assert time_chi_square([fair(24) for _ in range(240)], side) < FRAMES_999
    assert time_chi_square([legacy(24) for _ in range(10)], side) > 20 * FRAMES_999


def test_later_frames_than_the_context_may_use_are_target() -> None:
    masks = MultiBlock3DMask(GRID, **SHORT, context_share=0.55)(1)  # 4.4 frames
    later = torch.arange(4 * 196, 8 * 196)
    assert torch.isin(later, masks.target).all()
    assert 3 * 196 < masks.context.max() < 4 * 196
    assert masks.context.shape[1] + masks.target.shape[2] == 8 * 196
    assert MultiBlock3DMask(GRID, context_share=0.01)(24).context.max() < 196  # one frame at least


def test_max_keep_cuts_each_context_at_random() -> None:
    torch.manual_seed(0)
    sampler = MultiBlock3DMask(GRID, 1, aspect_ratio=(1.0, 1.0), max_keep=100)  # one block: nothing else is cut
    batches = [sampler(24) for _ in range(40)]
    assert {masks.context.shape for masks in batches} == {(24, 100)}
    assert all((masks.context.diff() > 0).all() for masks in batches)
    assert {masks.target.shape for masks in batches} == {(24, 1, 8 * 25)}
    assert time_chi_square(batches, 0) < FRAMES_999
    assert len(torch.cat([masks.context[0] for masks in batches]).unique()) > 1300  # of 1568, 1450 expected
    torch.manual_seed(1)
    free = MultiBlock3DMask(GRID)(4)
    torch.manual_seed(1)
    assert torch.equal(MultiBlock3DMask(GRID, max_keep=1568)(4).context, free.context)


def test_every_position_is_used_as_context_and_as_target() -> None:
    torch.manual_seed(0)
    every = set(range(8 * 14 * 14))
    # wherever a block of 10x14 to 14x10 lies, it covers the 6x6 positions in the middle
    middle = {(t * 14 + row) * 14 + column for t in range(8) for row in range(4, 10) for column in range(4, 10)}
    for blocks, batches, never in ((SHORT, 40, set()), (LONG, 300, middle)):
        sampler = MultiBlock3DMask(GRID, **blocks)
        contexts, targets = zip(*(sampler(24) for _ in range(batches)), strict=True)
        assert set().union(*(tokens.unique().tolist() for tokens in contexts)) == every - never
        assert set().union(*(tokens.unique().tolist() for tokens in targets)) == every
