from itertools import accumulate, pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils.data import Dataset

from jepa_lightning.data.collate import Collate
from jepa_lightning.data.draws import SampleDraw
from jepa_lightning.data.loading import seeded_loader
from jepa_lightning.data.pipelines import Pipeline
from jepa_lightning.data.shards.index import Shard, ShardIndex
from jepa_lightning.data.shards.sampler import ShardSampler


class Numbers(Dataset[Any]):
    """Samples in shards of 7 to 13; each shows its number."""

    def __init__(self, shards: int = 40, window: int = 16) -> None:
        index = ShardIndex.__new__(ShardIndex)
        index.shards = [Shard(f"{i}.bin", 7 + 3 * i % 7, 0) for i in range(shards)]
        index.starts = [0, *accumulate(shard.samples for shard in index.shards)]
        self.shards, self.window = SimpleNamespace(shard_index=index, cache=None), window

    def __len__(self) -> int:
        return len(self.shards.shard_index)

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(1, 1, 1), index, str(index)


def sampler(source: Numbers, rank: int = 0, ranks: int = 1, drop_last: bool = True, **options: Any) -> ShardSampler:
    options = {"shuffle": True, "seed": 0, **options}
    return ShardSampler(source, num_replicas=ranks, rank=rank, drop_last=drop_last, **options)


def loader(source: Numbers, rank: int = 0, ranks: int = 1, num_workers: int = 0, batch_size: int = 4) -> Any:
    pipeline = Pipeline(lambda image: [image + torch.rand(())], lambda image: [image], Collate())
    return seeded_loader(
        source, pipeline, train=True, shuffle=True, seed=3, rank=rank, world_size=ranks, num_workers=num_workers,
        batch_size=batch_size, sampler_class=ShardSampler,
    )  # fmt: skip


def labels(batches: Any) -> list[int]:
    return [int(label) for batch in batches for label in batch.labels]


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_the_ranks_have_each_sample_once_between_them(ranks: int) -> None:
    source = Numbers()
    seen = [sample for rank in range(ranks) for sample in sampler(source, rank, ranks).order()]
    assert len(seen) == len(set(seen)) == len(source) // ranks * ranks
    repeated = [sample for rank in range(ranks) for sample in sampler(source, rank, ranks, drop_last=False).order()]
    assert set(repeated) == set(range(len(source)))
    assert len(repeated) - len(source) < ranks


def test_two_ranks_with_two_workers_have_each_sample_once_an_epoch() -> None:
    source = Numbers(shards=39)
    assert len(source) == 389
    for epoch in range(2):
        seen = []
        for rank in range(2):
            train = loader(source, rank, ranks=2, num_workers=2, batch_size=2)
            train.sampler.set_epoch(epoch)
            seen += labels(train)
        assert len(seen) == len(set(seen)) == 388


def test_views_and_order_do_not_depend_on_workers() -> None:
    batches = [list(loader(Numbers(), num_workers=workers)) for workers in (0, 2)]
    assert labels(batches[0]) == labels(batches[1])
    assert all(torch.equal(a.views[0], b.views[0]) for a, b in zip(*batches, strict=True))


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("taken", [1, 17, 48])
def test_a_resumed_epoch_has_no_repeats_and_no_gaps(num_workers: int, taken: int) -> None:
    whole, first, second = (loader(Numbers(), 1, 2, num_workers) for _ in range(3))
    for train in (whole, first, second):
        train.sampler.set_epoch(5)
    batches = list(whole)
    start = [batch for _, batch in zip(range(taken), first, strict=False)]
    second.load_state_dict(first.state_dict())
    rest = list(second)
    assert labels(start) + labels(rest) == labels(batches)
    for resumed, undisturbed in zip(rest, batches[taken:], strict=True):
        assert torch.equal(resumed.views[0], undisturbed.views[0])


def test_epochs_and_seeds_have_orders_of_their_own() -> None:
    one, other, later = sampler(Numbers()), sampler(Numbers(), seed=1), sampler(Numbers())
    later.set_epoch(1)
    assert one.order() == one.order()
    assert len({tuple(each.order()) for each in (one, other, later)}) == 3
    draws = [{draw.sample: draw.seed for draw in each} for each in (one, later)]
    assert draws[0].keys() == draws[1].keys()
    assert all(draws[0][sample] != draws[1][sample] for sample in draws[0])


@pytest.mark.parametrize("window", [1, 16, 100])
def test_few_shards_are_in_use_at_a_time_and_neighbors_part(window: int) -> None:
    source = Numbers(window=window)
    order = [source.shards.shard_index.shard_of(sample) for sample in sampler(source).order()]
    first = {shard: order.index(shard) for shard in order}
    last = {shard: len(order) - 1 - order[::-1].index(shard) for shard in order}
    in_use = [sum(first[s] <= place <= last[s] for s in first) for place in range(len(order))]
    assert max(in_use) <= 2 * window / 7 + 2
    changes = sum(a != b for a, b in pairwise(order))
    assert (changes == 39) if window == 1 else (changes > 0.5 * len(order))


def test_each_rank_reads_shards_of_its_own() -> None:
    source = Numbers()
    shard_of = source.shards.shard_index.shard_of
    used = [{shard_of(sample) for sample in sampler(source, rank, 4).order()} for rank in range(4)]
    assert sum(map(len, used)) <= 40 + 3


def test_a_window_as_large_as_the_data_moves_samples_everywhere() -> None:
    source = Numbers(window=400)
    moved = torch.tensor(sampler(source).order()).sort().indices.float()
    assert torch.corrcoef(torch.stack([torch.arange(len(source)).float(), moved]))[0, 1].abs() < 0.2


def test_without_shuffling_the_order_is_that_of_the_shards() -> None:
    source = Numbers()
    assert sampler(source, shuffle=False).order() == list(range(len(source)))
    draws = list(sampler(source, shuffle=False))
    assert [draw.sample for draw in draws] == sampler(source, shuffle=False).order()
    assert all(isinstance(draw, SampleDraw) for draw in draws)


def test_a_change_of_ranks_in_the_middle_of_an_epoch_is_said() -> None:
    first, alone = loader(Numbers(), 0, 2, 0), loader(Numbers(), 0, 1, 0)
    next(iter(first))
    with pytest.warns(UserWarning, match="on 1 ranks, and had 2.*some samples are seen twice"):
        alone.load_state_dict(first.state_dict())
