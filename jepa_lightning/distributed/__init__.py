"""Samples and statistics of all ranks, weights that are spread over ranks, and the strategy that does so."""

from jepa_lightning.distributed.batch_norms import share_statistics_
from jepa_lightning.distributed.samples import gather_samples, rank, sum_over_ranks, world_size
from jepa_lightning.distributed.sharding import data_parallel_mesh, shard_, sharding_units, wrap_
from jepa_lightning.distributed.strategies import FSDP2Strategy

__all__ = [
    "FSDP2Strategy",
    "data_parallel_mesh",
    "gather_samples",
    "rank",
    "shard_",
    "sharding_units",
    "share_statistics_",
    "sum_over_ranks",
    "world_size",
    "wrap_",
]
