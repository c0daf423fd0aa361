# B batch
"""The classes of shown samples, where they have any."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from jepa_lightning.callbacks.sources import Source
from jepa_lightning.probing.label_kinds import ClassLabel, form_of

WHERE = 1  # labels= of the options, unless a person gives another one


def class_labels(source: Source, module: LightningModule, batch: Any, chosen: str | None) -> tuple[str, Tensor] | None:
    """Name and class indices, int64 ``[B]`` on the CPU, of the labels of a batch; the name of a single one is "".

    Args:
        source: where labels are; batches without labels at its default are unlabeled.
        module: for messages.
        batch: of any form.
        chosen: name of one of several labels; None takes the first one of classes, and None where there is none.

    Raises:
        MisconfigurationException: if there are no labels where a person says.
        ValueError: if the chosen label is none of classes.
    """
    try:
        found = source.labels_of(module, batch)
    except MisconfigurationException:
        if source.labels != WHERE or chosen is not None:
            raise
        found = None
    given = found if isinstance(found, Mapping) else {} if found is None else {"": found}
    classes = {name: target for name, target in given.items() if (form_of(target) or (None,))[0] is ClassLabel}
    if chosen is not None and chosen not in classes:
        names = ", ".join(filter(None, classes)) or "none with a name"
        raise ValueError(f"there is no label '{chosen}' of classes; the labels of classes are {names}")
    for name, target in classes.items():
        if chosen in (None, name):
            return name, target.cpu().long()
    return None


def joint_labels(parts: Sequence[tuple[str, Tensor] | None], sizes: Sequence[int]) -> tuple[str, Tensor]:
    """Name and class indices of several batches, -1 where there are none.

    Args:
        parts: of ``class_labels``.
        sizes: samples of each batch; the first ones are shown, up to the number that is asked for.
    """
    name = next((part[0] for part in parts if part), "")
    columns = [
        torch.full((size,), -1) if part is None else part[1][:size] for part, size in zip(parts, sizes, strict=True)
    ]
    return name, torch.cat(columns)


def class_name(trainer: Trainer, label: str, index: int) -> str:
    """The name of a class, where the DataModule knows it, or its number."""
    names = getattr(trainer.datamodule, "class_names", None)  # type: ignore[attr-defined]
    names = names.get(label) if isinstance(names, Mapping) else names
    return str(names[index]) if names and index < len(names) else str(index)
