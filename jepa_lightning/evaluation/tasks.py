# S samples, K columns of a label, D width
"""One label to predict: which samples have it, and on which of them options are chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.splits import hold_out
from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind, in_form
from jepa_lightning.probing.labels import kinds_of

Grid = Literal["quick", "published"]
Record = dict[str, Any]  # what is reported of one label


@dataclass(frozen=True)
class Settings:
    """What all protocols share.

    Attributes:
        grid: of options: few of them, or the published ones.
        seed: of all draws.
        device: where classifiers are fitted.
        class_names: of each label, where the data know them.
    """

    grid: Grid = "quick"
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    class_names: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Task:
    """One label.

    Attributes:
        name: of the label.
        kind: of the label.
        train: indices of the training samples that have it.
        test: indices of the test samples that have it.
        target: labels of these training samples.
        test_target: labels of these test samples.
        fit: places among ``train`` to fit on while options are compared.
        held: places among ``train`` to compare them on.
    """

    name: str
    kind: LabelKind
    train: Tensor
    test: Tensor
    target: Tensor
    test_target: Tensor
    fit: Tensor
    held: Tensor


def tasks_of(train: Table, test: Table, seed: int, names: Sequence[str] = ()) -> list[Task]:
    """The labels of two tables.

    Args:
        train: to fit and to choose on.
        test: to report.
        seed: of the samples that choices are made on.
        names: of labels to take; none takes all.

    Raises:
        ValueError: if there are no such labels, or they cannot be learned.
    """
    if not train.labels:
        raise ValueError(
            "the training samples have no labels, so that there is nothing to evaluate: give data with labels, such as "
            "a folder with a subfolder for each class."
        )
    if unknown := [name for name in names if name not in train.labels]:
        raise ValueError(f"there is no label '{unknown[0]}': the data have {', '.join(train.labels)}.")
    chosen = {name: train.labels[name] for name in names or train.labels}
    if lacking := [name for name in chosen if name not in test.labels]:
        raise ValueError(f"the test samples have no label '{lacking[0]}', which the training samples have.")
    kinds = kinds_of(chosen, test.labels)
    return [_task(name, kind, chosen[name], test.labels[name], seed) for name, kind in kinds.items()]


def _task(name: str, kind: LabelKind, target: Tensor, test_target: Tensor, seed: int) -> Task:
    target, test_target = in_form(kind, target), in_form(kind, test_target)
    train, test = (kind.labeled(each).nonzero().flatten() for each in (target, test_target))
    for split, rows in (("training", train), ("test", test)):
        if not len(rows):
            raise ValueError(f"label '{name}': none of the {split} samples has it.")
    target, test_target = target[train], test_target[test]
    if isinstance(kind, ClassLabel):
        _check_classes(name, target, test_target)
    fit, held = hold_out(target, isinstance(kind, ClassLabel), seed)
    return Task(name, kind, train, test, target, test_target, fit, held)


def _check_classes(name: str, target: Tensor, test_target: Tensor) -> None:
    known = torch.unique(target)
    if len(known) < 2:
        raise ValueError(
            f"label '{name}': all {len(target)} training samples are of one class, so that there is nothing to tell "
            "apart: give data with two classes or more."
        )
    if len(unknown := test_target[~torch.isin(test_target, known)]):
        raise ValueError(
            f"label '{name}': {len(unknown)} of the test samples are of classes that no training sample has, such as "
            f"{int(unknown[0])}: give training samples of them, or leave them out."
        )


def rows_of(values: np.ndarray[Any, Any], rows: Tensor, device: torch.device) -> Tensor:
    """Some rows of an array on the disk, as floats in memory."""
    return torch.from_numpy(np.asarray(values[rows.numpy()], np.float32)).to(device)


def standardized(
    features: Mapping[str, np.ndarray[Any, Any]],
    others: Mapping[str, np.ndarray[Any, Any]],
    name: str,
    task: Task,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """Features ``[S, D]`` of the training and of the test samples of a task, with mean 0 and variance 1 in training."""
    train, test = rows_of(features[name], task.train, device), rows_of(others[name], task.test, device)
    mean, std = train.mean(dim=0), train.std(dim=0, correction=0)
    # rounding leaves a little variance to features that are all the same
    std = std.where(std > 1e-6 * mean.abs().clamp(min=1e-30), 1)
    return train.sub_(mean).div_(std), test.sub_(mean).div_(std)
