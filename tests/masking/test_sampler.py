# B batch, N tokens, M blocks, Kc Kt kept tokens
"""What every sampler of masks promises."""

import pickle
from collections.abc import Callable

import pytest
import torch

from jepa_lightning.masking import (
    CausalMask,
    MaskSampler,
    MultiBlock3DMask,
    MultiBlockMask,
    RandomMask,
    RandomTubeMask,
)

FRAMES, TOKENS = (4, 6, 6), {2: 36, 3: 144}
SAMPLERS: dict[str, tuple[int, Callable[[], MaskSampler]]] = {
    "multi-block": (2, lambda: MultiBlockMask((6, 6), min_keep=2)),
    "random": (2, lambda: RandomMask((6, 6), 0.75)),
    "tubes": (3, lambda: RandomTubeMask(FRAMES, 0.75)),
    "multi-block in time": (3, lambda: MultiBlock3DMask(FRAMES, 2, (0.3, 0.5), min_keep=2)),
    "causal": (3, lambda: CausalMask(FRAMES, (1, 3))),
}


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", SAMPLERS)
def test_masks_are_indices_of_the_grid_and_share_no_token(name: str) -> None:
    axes, build = SAMPLERS[name]
    context, target = build()(5, seeded(0))
    assert context.dtype == target.dtype == torch.int64
    assert context.ndim == 2
    assert target.ndim == 3
    for kept, blocks in zip(context, target, strict=True):
        assert len(set(kept.tolist())) == len(kept)
        assert all(len(set(block.tolist())) == len(block) for block in blocks)
        assert not set(kept.tolist()) & set(blocks.flatten().tolist())
        assert min(kept.min(), blocks.min()) >= 0
        assert max(kept.max(), blocks.max()) < TOKENS[axes]


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_worker_draws_the_same_and_leaves_the_global_generator_alone(name: str) -> None:
    sampler, state = SAMPLERS[name][1](), torch.get_rng_state()
    here, there = sampler(5, seeded(3), seeded(4)), pickle.loads(pickle.dumps(sampler))(5, seeded(3), seeded(4))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(here.context, there.context)
    assert torch.equal(here.target, there.target)


# the union of blocks in time, which may overlap, has another size in each batch
@pytest.mark.parametrize("name", [name for name in SAMPLERS if name != "multi-block in time"])
def test_ranks_with_the_same_sizes_have_the_same_number_of_targets(name: str) -> None:
    sampler = SAMPLERS[name][1]()
    for step in range(8):
        one, other = (sampler(5, seeded(100 * step + rank), seeded(step)) for rank in range(2))
        assert one.target.shape == other.target.shape
