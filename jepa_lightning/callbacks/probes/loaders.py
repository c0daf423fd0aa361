"""Samples that probes encode beside training: a fixed draw from loaders of any kind."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, Subset

from jepa_lightning.callbacks.sources import Source
from jepa_lightning.types import Batch


def training_loader(owner: str, trainer: Trainer, module: LightningModule) -> Iterable[Any]:
    """The loader of training samples: ``memory_dataloader`` of the DataModule, or the one that training uses.

    Args:
        owner: name of the callback, for messages.
        trainer: in any stage.
        module: which may have loaders.

    Raises:
        MisconfigurationException: if there is none.
    """
    data = trainer.datamodule  # type: ignore[attr-defined]
    if hasattr(data, "memory_dataloader"):
        loader: Iterable[Any] = data.memory_dataloader()
        return loader
    found = trainer.train_dataloader
    if found is None:
        owners = [each for each in (data, module) if each is not None and is_overridden("train_dataloader", each)]
        found = owners[0].train_dataloader() if owners else None
    if found is None:
        raise MisconfigurationException(
            f"{owner} encodes training samples, and this {trainer.state.fn.value} has none: give the Trainer a "  # type: ignore[union-attr]
            "DataModule with train_dataloader() or memory_dataloader(), or leave the callback out."
        )
    return first_loader(found)


def validation_loader(owner: str, trainer: Trainer) -> Iterable[Any]:
    """The first validation loader of a fit.

    Raises:
        MisconfigurationException: if there is none.
    """
    found, data = trainer.val_dataloaders, trainer.datamodule  # type: ignore[attr-defined]
    if found is None and data is not None and is_overridden("val_dataloader", data):
        found = data.val_dataloader()
    if not found:
        raise MisconfigurationException(
            f"{owner} scores its probes on validation samples, and this fit has none: give the Trainer a validation "
            "loader and the module a validation_step, or leave the callback out."
        )
    return first_loader(found)


def first_loader(loaders: Any) -> Iterable[Any]:
    """The first loader of a collection of them, in the way that Lightning takes collections."""
    while isinstance(loaders, (list, tuple, Mapping)) and loaders:
        first = next(iter(loaders.values())) if isinstance(loaders, Mapping) else loaders[0]
        if not isinstance(first, (list, tuple, Mapping, DataLoader)):
            break  # a list of batches is a loader
        loaders = first
    found: Iterable[Any] = loaders
    return found


def drawn(owner: str, loader: Iterable[Any], size: int, rank: int = 0, ranks: int = 1) -> Iterable[Any]:
    """Batches with a rank's share of a draw of samples, the same in each call where the data has a length.

    The loader that training iterates is left alone: its state does not move.

    Args:
        owner: name of the callback, for messages.
        loader: a DataLoader, or something that gives batches anew each time.
        size: samples of all ranks together, at most; other loaders than those of data with a length may give a batch
            more.
        rank: number of this one.
        ranks: how many there are.

    Raises:
        MisconfigurationException: if the loader can be iterated only once.
    """
    if not isinstance(loader, DataLoader):
        if isinstance(loader, Iterator):
            raise MisconfigurationException(
                f"{owner} takes samples from the loader, and {type(loader).__name__} can be iterated only once: give "
                "the Trainer a DataLoader, or the DataModule a memory_dataloader()."
            )
        return loader
    dataset: Any = loader.dataset
    options: dict[str, Any] = {"collate_fn": loader.collate_fn, "num_workers": loader.num_workers}
    if isinstance(dataset, IterableDataset) or (loader.batch_size is None and loader.batch_sampler is None):
        return DataLoader(dataset, batch_size=loader.batch_size, **options)
    # a sampler of a part of the data set has its indices
    known = getattr(loader.sampler, "indices", None)
    indices = torch.arange(len(dataset)) if known is None else torch.as_tensor(known)
    # at random: data sets are often sorted by class
    order = indices[torch.randperm(len(indices), generator=torch.Generator().manual_seed(0))][:size]
    # equally many for each rank: where weights are sharded, all ranks take part in each forward pass
    share = order[rank::ranks][: max(1, len(order) // ranks)]
    batch_size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 64
    return DataLoader(Subset(dataset, share.tolist()), batch_size=batch_size, **options)


def on_device(trainer: Trainer, module: LightningModule, source: Source, batch: Any) -> tuple[Any, list[Tensor]]:
    """A batch as a step would get it, and the views of its images."""
    if isinstance(batch, Batch):
        views = [trainer.precision_plugin.convert_input(view.to(module.device)) for view in batch.views]
        return batch, views
    moved = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(batch))
    return moved, source.views(module, moved)
