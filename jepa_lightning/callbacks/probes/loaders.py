"""The loaders of a run that probes take samples from, and their batches as a step would get them."""

from collections.abc import Iterable, Mapping
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.model_helpers import is_overridden
from torch import Tensor
from torch.utils.data import DataLoader

from jepa_lightning.callbacks.sources import Source, normalized
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
            f"{owner} needs validation samples, and this fit has none: give the Trainer a validation loader and the "
            "module a validation_step, or leave the callback out."
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


def on_device(trainer: Trainer, module: LightningModule, source: Source, batch: Any) -> tuple[Any, list[Tensor]]:
    """A batch as a step would get it, and the views of its images."""
    if isinstance(batch, Batch):
        moved = batch._replace(views=[view.to(module.device) for view in batch.views])
        return batch, [trainer.precision_plugin.convert_input(view) for view in normalized(module, moved).views]
    moved = trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(batch))
    return moved, source.views(module, moved)
