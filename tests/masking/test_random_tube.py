import pickle

import pytest
import torch

from jepa_lightning.masking import RandomTubeMask


@pytest.mark.parametrize(("grid", "ratio", "seen"), [((8, 14, 14), 0.9, 20), ((3, 4, 7), 0.5, 14), ((1, 5, 2), 0.8, 2)])
@pytest.mark.parametrize("batch_size", [1, 9])
def test_all_frames_show_the_same_positions_and_the_ratio_is_kept(grid, ratio: float, seen: int, batch_size) -> None:
    frames, positions = grid[0], grid[1] * grid[2]
    context, target = RandomTubeMask(grid, ratio)(batch_size, torch.Generator().manual_seed(0))
    assert context.dtype == target.dtype == torch.int64
    assert context.shape == (batch_size, frames * seen)
    assert target.shape == (batch_size, 1, frames * (positions - seen))
    for tokens in (context, target):
        assert (tokens.diff(dim=-1) > 0).all()
        tubes = tokens.view(batch_size, frames, -1)
        assert torch.equal(tubes, tubes[:, :1] + positions * torch.arange(frames)[:, None])
    every = torch.cat([context, target[:, 0]], dim=1).sort(dim=1).values
    assert torch.equal(every, torch.arange(frames * positions).expand(batch_size, -1))


def test_samples_differ_and_all_positions_are_as_likely() -> None:
    context = RandomTubeMask((2, 4, 5), 0.8)(4000, torch.Generator().manual_seed(0)).context
    counts = torch.bincount(context[:, :4].flatten(), minlength=20).double()
    assert len(context.unique(dim=0)) > 2000
    assert (counts - 800).abs().max() < 4 * (4000 * 0.2 * 0.8) ** 0.5


def test_a_generator_repeats_draws_and_leaves_the_global_one_alone() -> None:
    sampler, state = RandomTubeMask((4, 8, 8)), torch.get_rng_state()
    first, again, other = (sampler(4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(*pair) for pair in zip(first, again, strict=True))
    assert not torch.equal(first.context, other.context)
    torch.manual_seed(1)
    assert torch.equal(pickle.loads(pickle.dumps(sampler))(4).context, first.context)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 0.99])
def test_ratios_that_leave_a_side_empty_are_refused(ratio: float) -> None:
    with pytest.raises(ValueError, match=rf"a mask ratio of {ratio} on a grid of \(4, 4\) leaves no token"):
        RandomTubeMask((8, 4, 4), ratio)


@pytest.mark.parametrize(("grid", "message"), [((4, 4), "has 2 axes: give frames"), ((8, 0, 4), "0 is too small")])
def test_grids_that_are_none_are_refused(grid, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RandomTubeMask(grid)
