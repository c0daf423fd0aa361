import pytest
from torch.utils.data import Dataset

from jepa_lightning.data.draws import DrawSampler, SampleDraw


class Numbers(Dataset[int]):
    def __len__(self) -> int:
        return 12


def draws(epoch: int, rank: int = 0, ranks: int = 1, shuffle: bool = True, start: int = 0) -> list[SampleDraw]:
    sampler = DrawSampler(Numbers(), num_replicas=ranks, rank=rank, shuffle=shuffle, seed=3, drop_last=True)
    sampler.set_epoch(epoch)
    sampler.start = start
    return list(sampler)


def test_every_sample_and_every_place_of_every_epoch_has_a_seed_of_its_own() -> None:
    every = [draw for epoch in range(5) for draw in draws(epoch)]
    assert [sorted(draw.sample for draw in draws(epoch)) for epoch in range(5)] == [list(range(12))] * 5
    assert len({seed for draw in every for seed in draw[1:]}) == 2 * 5 * 12


def test_the_seed_of_a_sample_follows_it_to_any_rank_and_that_of_a_place_is_on_all() -> None:
    alone = {draw.sample: draw.seed for draw in draws(2)}
    ranks = [draws(2, rank, 3) for rank in range(3)]
    assert {draw.sample: draw.seed for rank in ranks for draw in rank} == alone
    assert len({tuple(draw.shared for draw in rank) for rank in ranks}) == 1


@pytest.mark.parametrize("start", [1, 11, 12])
def test_a_resumed_epoch_is_the_rest_of_the_whole_one(start: int) -> None:
    assert draws(4, start=start) == draws(4)[start:]


def test_without_shuffling_every_epoch_is_the_first() -> None:
    assert draws(7, shuffle=False) == draws(0, shuffle=False)
    assert [draw.sample for draw in draws(7, shuffle=False)] == list(range(12))
