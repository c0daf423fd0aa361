import itertools

import torch
from torch import Tensor

from jepa_lightning.masking.cut import cut_to_shortest

FREE = torch.tensor([[1, 1, 0, 1, 1, 1], [0, 1, 1, 0, 0, 1], [1, 1, 1, 1, 1, 1]], dtype=torch.bool)


def subsets(kept: Tensor) -> dict[tuple[int, ...], int]:
    """How often each set of tokens is kept, of bool ``[B, N]``."""
    rows, counts = kept.unique(dim=0, return_counts=True)
    return {tuple(row.nonzero()[:, 0].tolist()): int(count) for row, count in zip(rows, counts, strict=True)}


def test_all_rows_keep_as_many_free_tokens_as_the_shortest_has() -> None:
    torch.manual_seed(0)
    free = torch.rand(200, 30) < 0.5
    kept = cut_to_shortest(free, None)
    assert kept.dtype == torch.bool
    assert not (kept & ~free).any()
    assert (kept.sum(1) == free.sum(1).min()).all()
    assert torch.equal(cut_to_shortest(free[:1], None), free[:1])


def test_keeps_every_window_that_wraps_as_often() -> None:
    draws, generator = 6000, torch.Generator().manual_seed(0)
    kept = cut_to_shortest(FREE.repeat(draws, 1), generator).view(draws, *FREE.shape)
    for row, free in enumerate(FREE):
        tokens = free.nonzero()[:, 0].tolist()
        windows = {tuple(sorted((tokens + tokens)[start : start + 3])) for start in range(len(tokens))}
        found = subsets(kept[:, row])
        assert found.keys() == windows
        share = 1 / len(windows)
        assert max(abs(n - draws * share) for n in found.values()) <= 4 * (draws * share * (1 - share)) ** 0.5


def test_in_a_random_order_it_is_a_uniform_choice() -> None:
    draws, generator = 20_000, torch.Generator().manual_seed(0)
    for row, degrees_999 in ((0, 27.9), (2, 43.8)):  # chi-square of 9 and of 19, exceeded once in a thousand
        free = FREE[[row, 1]].repeat(draws // 2, 1)  # the other row is the shortest, with three
        order = torch.rand(free.shape, generator=generator).argsort(1)
        kept = cut_to_shortest(free.gather(1, order), generator).gather(1, order.argsort(1))[::2]
        found, choices = subsets(kept), list(itertools.combinations(FREE[row].nonzero()[:, 0].tolist(), 3))
        assert found.keys() == set(choices)
        expected = len(kept) / len(choices)
        assert sum((count - expected) ** 2 / expected for count in found.values()) < degrees_999


def test_rows_that_share_an_order_are_cut_independently() -> None:
    free = torch.ones(2, 4, dtype=torch.bool)
    free = torch.cat([free, torch.tensor([[True, True, False, False]])])
    generator = torch.Generator().manual_seed(0)
    pairs = torch.stack([cut_to_shortest(free, generator)[:2, 0] for _ in range(4000)]).double()
    assert (pairs.mean(0) - 0.5).abs().max() < 4 * 0.5 / 4000**0.5
    assert torch.corrcoef(pairs.T)[0, 1].abs() < 4 / 4000**0.5


def test_a_generator_repeats_the_cut_and_spares_the_global_one() -> None:
    free, before = FREE.repeat(20, 1), torch.get_rng_state()
    first, again, other = (cut_to_shortest(free, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
