import pickle

import pytest
import torch

from jepa_lightning.masking import RandomMask


@pytest.mark.parametrize("grid", [4, (14, 14), (7, 11), (1, 40), [3, 5]])
@pytest.mark.parametrize("ratio", [0.1, 0.5, 0.75, 0.9])
@pytest.mark.parametrize("batch_size", [1, 17])
def test_every_token_is_once_in_context_or_target_in_order(grid, ratio: float, batch_size: int) -> None:
    sampler = RandomMask(grid, ratio)
    rows, columns = (grid, grid) if isinstance(grid, int) else grid
    context, target = sampler(batch_size)
    assert context.dtype == target.dtype == torch.int64
    assert context.shape == (batch_size, sampler.num_context)
    assert target.shape == (batch_size, 1, rows * columns - sampler.num_context)
    every = torch.cat([context, target[:, 0]], dim=1).sort(dim=1).values
    assert torch.equal(every, torch.arange(rows * columns).expand(batch_size, -1))
    assert all((tokens.diff(dim=-1) > 0).all() for tokens in (context, target))


@pytest.mark.parametrize(
    ("grid", "ratio", "seen"), [(14, 0.75, 49), (16, 0.75, 64), (4, 0.5, 8), ((3, 5), 0.8, 3), ((1, 2), 0.5, 1)]
)
def test_the_ratio_is_respected(grid, ratio: float, seen: int) -> None:
    assert RandomMask(grid, ratio)(2).context.shape == (2, seen)


def test_all_subsets_are_as_likely() -> None:
    draws, num_tokens, seen = 20_000, 12, 4
    context = RandomMask((3, 4), 2 / 3)(draws, torch.Generator().manual_seed(0)).context
    chosen = torch.zeros(draws, num_tokens, dtype=torch.float64).scatter_(1, context, 1.0)
    together = chosen.T @ chosen / draws
    pairs = together[~torch.eye(num_tokens, dtype=torch.bool)]
    single, pair = seen / num_tokens, seen / num_tokens * (seen - 1) / (num_tokens - 1)
    for found, expected in ((together.diagonal(), single), (pairs, pair)):
        standard_error = (expected * (1 - expected) / draws) ** 0.5
        assert (found - expected).abs().max() < 4 * standard_error


def test_a_generator_repeats_draws_and_leaves_the_global_one_alone() -> None:
    sampler, state = RandomMask(8), torch.get_rng_state()
    first, again, other = (sampler(4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.context, again.context)
    assert torch.equal(first.target, again.target)
    assert not torch.equal(first.context, other.context)
    assert len(first.context.unique(dim=0)) == 4  # samples of a batch differ
    torch.manual_seed(1)
    assert torch.equal(sampler(4).context, first.context)


def test_a_sampler_survives_the_way_into_a_worker() -> None:
    sampler = RandomMask(8)
    copy = pickle.loads(pickle.dumps(sampler))
    first, again = (each(2, torch.Generator().manual_seed(0)) for each in (sampler, copy))
    assert torch.equal(first.context, again.context)


@pytest.mark.parametrize(("grid", "ratio"), [(8, 0.0), (8, 1.0), (8, -0.5), (8, 1.5), (4, 0.99), (4, 0.01), (1, 0.5)])
def test_ratios_that_leave_a_side_empty_are_refused(grid: int, ratio: float) -> None:
    with pytest.raises(ValueError, match=rf"a mask ratio of {ratio} on a grid of \({grid}, {grid}\) leaves no token"):
        RandomMask(grid, ratio)
