"""The order of samples in shards: shards at random, and samples at random among those near them."""

from collections.abc import Iterator
from typing import ClassVar

import torch

from jepa_lightning.data.draws import DrawSampler, SampleDraw
from jepa_lightning.seeding import seed_from


class ShardSampler(DrawSampler):
    """Orders samples so that only a few shards are in use at a time.

    Shards come in a new order in every epoch, and each rank takes a stretch of it, so that it reads few shards that
    others read. Each sample is moved by up to `window` places of that order. The data set has `shards` and `window`.
    """

    elastic: ClassVar = False

    def order(self) -> list[int]:
        """The samples of this rank in this epoch."""
        if not self.shuffle:
            return super().order()
        index, window = self.dataset.shards.shard_index, self.dataset.window  # type: ignore[attr-defined]
        generator = torch.Generator().manual_seed(seed_from(self.seed, self.epoch))
        shards = torch.randperm(len(index.shards), generator=generator).tolist()
        samples = torch.cat([torch.arange(index.starts[i], index.starts[i + 1]) for i in shards])
        # more than there are where ranks repeat some to have equally many
        samples = samples[torch.arange(self.total_size) % len(samples)]
        mine = samples[self.rank * self.num_samples :][: self.num_samples]
        places = torch.arange(len(mine)) + torch.rand(len(mine), generator=generator, dtype=torch.float64) * window
        return mine[places.argsort()].tolist()

    def __iter__(self) -> Iterator[SampleDraw]:
        """Yields the draws of the epoch from `start` on, while shards that come next are fetched."""
        shards = getattr(self.dataset, "shards", None)
        if shards is None or shards.cache is None:
            yield from super().__iter__()
            return
        order = self.order()[self.start :]
        with shards.cache.fetching(list(dict.fromkeys(map(shards.shard_index.shard_of, order)))) as taken:
            used: set[int] = set()
            for draw in super().__iter__():
                shard = shards.shard_index.shard_of(draw.sample)
                if shard not in used:
                    used.add(shard)
                    taken()
                yield draw
