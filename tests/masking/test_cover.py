from typing import Any

import pytest
import torch

from jepa_lightning.masking import (
    CausalMask,
    MultiBlock3DMask,
    MultiBlockMask,
    RandomMask,
    RandomTubeMask,
    covering_masks,
)

SAMPLERS: dict[str, Any] = {
    "4x4": lambda: MultiBlockMask((4, 4), min_keep=1),
    "8x5": lambda: MultiBlockMask((8, 5), min_keep=1),
    "14x14": lambda: MultiBlockMask(14),
    "a series of 64": lambda: MultiBlockMask((1, 64)),
    "8x14x14": lambda: MultiBlock3DMask((8, 14, 14)),
    "causal": lambda: CausalMask((4, 6, 7), 2),
    "random, 3 of 4": lambda: RandomMask((8, 8), 0.75),
    "random, 1 of 4": lambda: RandomMask((7, 5), 0.25),
    "random, 1 of 2": lambda: RandomMask((5, 5), 0.5),
    "random, 9 of 10": lambda: RandomMask((6, 6), 0.9),
    "tubes": lambda: RandomTubeMask((3, 4, 4), 0.75),
}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_token_is_a_target_and_none_is_seen_where_it_is(name: str) -> None:
    sampler = SAMPLERS[name]()
    state = torch.get_rng_state()
    masks = covering_masks(sampler)
    number = int(torch.tensor(sampler.grid_size).prod()) if name != "tubes" else 48
    targets = torch.cat([each.target.flatten() for each in masks])
    assert targets.unique().tolist() == list(range(number))
    for context, target in masks:
        assert context.shape[0] == target.shape[0] == 1
        assert context.dtype == target.dtype == torch.int64
        seen, asked = set(context.flatten().tolist()), set(target.flatten().tolist())
        assert seen
        assert not seen & asked
        assert len(seen) + len(asked) == number
    again = covering_masks(SAMPLERS[name]())
    assert all(torch.equal(a, b) for x, y in zip(masks, again, strict=True) for a, b in zip(x, y, strict=True))
    assert torch.equal(state, torch.get_rng_state())


def test_tiles_have_the_area_of_the_targets_in_training() -> None:
    for side in (8, 14, 16, 32):
        for _, target in covering_masks(MultiBlockMask(side)):
            assert 0.13 < target.shape[2] / side**2 < 0.2


def test_random_masks_show_as_many_tokens_as_in_training() -> None:
    sampler = RandomMask((8, 8), 0.75)
    assert len(sampler.cover()) == 4
    assert all(context.shape[1] == 16 for context, _ in sampler.cover())
    counts = torch.cat([target.flatten() for _, target in sampler.cover()]).bincount()
    assert counts.tolist() == [3] * 64  # and each token is a target as often as any other


def test_tiles_of_clips_are_one_block_through_all_frames() -> None:
    for _, target in covering_masks(MultiBlock3DMask((2, 8, 8))):
        assert target.shape[1] == 1
        frames = target.reshape(2, -1)
        assert torch.equal(frames[0] + 64, frames[1])


def test_what_has_no_grid_or_no_context_is_refused() -> None:
    with pytest.raises(ValueError, match="object does not say how many tokens there are"):
        covering_masks(object())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"a grid of \(1, 1\) tokens has no token left"):
        covering_masks(type("One", (), {"grid_size": (1, 1)})())  # type: ignore[arg-type]
