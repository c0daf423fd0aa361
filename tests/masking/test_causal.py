import pickle

import pytest
import torch

from jepa_lightning.masking import CausalMask

GRID = (6, 2, 3)


@pytest.mark.parametrize(
    ("context_frames", "target_frames", "end"), [(4, None, 6), (1, None, 6), (5, 1, 6), (2, 3, 5), ((2, 2), 1, 3)]
)
def test_first_frames_are_context_and_the_next_are_target(context_frames, target_frames, end: int) -> None:
    context, target = CausalMask(GRID, context_frames, target_frames)(3)
    seen = context_frames if isinstance(context_frames, int) else context_frames[0]
    assert context.dtype == target.dtype == torch.int64
    assert context.tolist() == [list(range(seen * 6))] * 3
    assert target.tolist() == [[list(range(seen * 6, end * 6))]] * 3
    assert context.is_contiguous()
    assert target.is_contiguous()


@pytest.mark.parametrize(("target_frames", "most"), [(None, 5), (2, 4)])
def test_the_split_is_drawn_once_a_batch_and_all_are_as_likely(target_frames: int | None, most: int) -> None:
    torch.manual_seed(0)
    sampler, splits = CausalMask(GRID, (2, most), target_frames), []
    for _ in range(1200):
        context, target = sampler(2)
        splits.append(context.shape[1] // 6)
        assert context.shape == (2, splits[-1] * 6)
        assert target.shape[2] == (6 * target_frames if target_frames else 36 - context.shape[1])
        assert (target[:, 0, 0] == context[:, -1] + 1).all()
    counts, choices = torch.bincount(torch.tensor(splits)), most - 1
    assert len(counts) == most + 1
    assert counts[:2].sum() == 0
    assert (counts[2:] - 1200 / choices).abs().max() < 4 * (1200 / choices * (1 - 1 / choices)) ** 0.5


def test_a_generator_repeats_draws_and_leaves_the_global_one_alone() -> None:
    sampler, state = CausalMask((16, 2, 2), (1, 15)), torch.get_rng_state()

    def lengths(each: CausalMask, generator: torch.Generator | None) -> list[int]:
        return [each(1, generator).context.shape[1] for _ in range(8)]

    first, again, other = (lengths(sampler, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert first == again != other
    torch.manual_seed(1)
    assert lengths(pickle.loads(pickle.dumps(sampler)), None) == first


@pytest.mark.parametrize(
    ("context_frames", "target_frames"),
    [
        *((frames, None) for frames in (0, -1, 6, (0, 3), (3, 6), (4, 2))),
        *((frames, 3) for frames in (4, (2, 4))),
        *((2, frames) for frames in (0, 5)),
        pytest.param(2, -1),
    ],
)
def test_splits_that_do_not_fit_are_refused_with_the_numbers(context_frames, target_frames: int | None) -> None:
    with pytest.raises(ValueError, match="do not fit 6 frames: each needs at least one") as error:
        CausalMask(GRID, context_frames, target_frames)
    assert str(error.value).startswith(f"context_frames {context_frames} and target_frames {target_frames} do not")


def test_grids_of_other_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"grid_size \(14, 14\) has 2 axes: give frames, rows and columns"):
        CausalMask((14, 14), 1)
