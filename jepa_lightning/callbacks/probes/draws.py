"""A fixed draw of the samples that a loader may give, which probes encode beside training."""

import copy
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any

import numpy as np
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.utilities.seed import isolate_rng
from torch import distributed as dist
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    DistributedSampler,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
)

from jepa_lightning.distributed import world_size

KEYS_PER_SAMPLE = 100  # keys to read, for each sample to draw, from a sampler that does not know its length


def drawn(owner: str, loader: Iterable[Any], size: int, rank: int = 0, ranks: int = 1) -> Iterable[Any]:
    """Batches with a rank's share of a draw of samples, which is the same in each call where the data has a length.

    Samples that the loader's sampler leaves out are not drawn. The loader that training iterates, its sampler and
    their generators are left alone. All ranks call this together.

    Args:
        owner: name of the callback, for messages.
        loader: a DataLoader, or something that gives batches again each time.
        size: samples of all ranks together, at most; other loaders than those of data with a length may give a batch
            more.
        rank: number of this one.
        ranks: how many there are.

    Raises:
        MisconfigurationException: if the loader can be iterated only once, or its sampler cannot be copied.
    """
    if not isinstance(loader, DataLoader):
        if isinstance(loader, Iterator):
            raise MisconfigurationException(
                f"{owner} takes samples from the loader, and {type(loader).__name__} can be iterated only once: give "
                "the Trainer a DataLoader, or the DataModule a memory_dataloader()."
            )
        return loader
    options: dict[str, Any] = {
        "collate_fn": loader.collate_fn,
        "num_workers": loader.num_workers,
        "worker_init_fn": loader.worker_init_fn,
        "multiprocessing_context": loader.multiprocessing_context,
    }
    if isinstance(loader.dataset, IterableDataset):
        return DataLoader(loader.dataset, batch_size=loader.batch_size, **options)
    keys = sampler_keys(owner, loader, size)
    # at random: data sets are often sorted by class
    order = torch.randperm(len(keys), generator=torch.Generator().manual_seed(0))[:size].tolist()
    # equally many for each rank: where weights are sharded, all ranks take part in each forward pass
    share = [keys[place] for place in order[rank::ranks][: max(1, len(order) // ranks)]]
    whole_batches = loader.batch_size is None and loader.batch_sampler is None  # each key is that of a batch
    batch_size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 64
    return DataLoader(Subset(loader.dataset, share), batch_size=None if whole_batches else batch_size, **options)


def sampler_keys(owner: str, loader: DataLoader[Any], size: int) -> Sequence[Any]:
    """The keys of the samples that a loader may give, each once; on every rank those of all ranks.

    Args:
        owner: name of the callback, for messages.
        loader: of a data set with a length.
        size: samples that are to be drawn. Of a sampler that does not know its length, 100 times as many keys are
            read, and of others one epoch.

    Raises:
        MisconfigurationException: if the sampler cannot be copied.
    """
    batches = loader.batch_sampler
    of_batches = batches is not None and type(batches) is not BatchSampler
    sampler: Any = batches if of_batches else getattr(batches, "sampler", loader.sampler)
    if _takes_all(sampler, loader.dataset):
        return range(len(loader.dataset))  # type: ignore[arg-type]
    try:
        own = copy.deepcopy(sampler, {id(loader.dataset): loader.dataset})
    except Exception as error:
        raise MisconfigurationException(
            f"{owner} draws from the samples that {type(sampler).__name__} yields, and a copy of it fails ({error}): "
            "give the DataModule a memory_dataloader()."
        ) from error
    with isolate_rng(include_cuda=False):
        _seed(own)
        try:
            yielded: Iterator[Any] = islice(iter(own), len(own))
            found = list(chain.from_iterable(yielded) if of_batches else yielded)
        except (TypeError, NotImplementedError):  # it has no length
            yielded = chain.from_iterable(own) if of_batches else iter(own)
            found = list(islice(yielded, KEYS_PER_SAMPLE * size))
    if world_size() > 1:
        parts: list[list[Any]] = [[] for _ in range(world_size())]
        dist.all_gather_object(parts, found)
        found = list(chain.from_iterable(parts))
    by_value = {_value(key): key for key in found}
    # an order that does not depend on the sampler's own
    return [by_value[value] for value in sorted(by_value, key=str)]


def _takes_all(sampler: Any, dataset: Any) -> bool:
    """Whether a sampler is one of those that leave out no sample of the data set."""
    # a subclass may leave out samples, unless its attribute takes_all is True
    if type(sampler) not in (SequentialSampler, RandomSampler, DistributedSampler):
        return getattr(sampler, "takes_all", False)
    source = sampler.dataset if isinstance(sampler, DistributedSampler) else sampler.data_source
    return len(source) == len(dataset)  # type: ignore[arg-type]


def _seed(sampler: Any) -> None:
    """Seeds the generators that a sampler draws from, so that it yields the same keys each time."""
    torch.default_generator.manual_seed(0)  # torch.manual_seed would seed devices too
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 samplers of others draw from the global generator
    for each in (sampler, getattr(sampler, "sampler", None)):
        if isinstance(generator := getattr(each, "generator", None), torch.Generator):
            generator.manual_seed(0)


def _value(key: Any) -> Any:
    """A key in a form that compares by value: tensors do not."""
    key = key.tolist() if hasattr(key, "tolist") else key
    return tuple(map(_value, key)) if isinstance(key, (list, tuple)) else key
