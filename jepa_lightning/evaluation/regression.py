# S samples, K numbers of a label
"""Linear regression of numbers: of labels that are values, and of classes that are numbers, such as counts."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.linear import linear
from jepa_lightning.evaluation.tasks import Record, Settings, Task
from jepa_lightning.probing.label_kinds import ClassLabel, ValueLabel


def regression(task: Task, train: Table, test: Table, settings: Settings) -> Record | None:
    """Ridge regression: R2 and mean absolute error; counts and distances, as I-JEPA's on Clevr.

    Returns:
        As of ``linear``; None where the label is not a number.
    """
    if isinstance(task.kind, ValueLabel):
        return linear(task, train, test, settings)
    numbers = _numbers(settings.class_names.get(task.name)) if isinstance(task.kind, ClassLabel) else None
    if numbers is None or len(numbers) < task.kind.size:
        return None
    values = torch.tensor(numbers)
    target, test_target = (values[each][:, None] for each in (task.target, task.test_target))
    return linear(replace(task, kind=ValueLabel(1), target=target, test_target=test_target), train, test, settings)


def _numbers(names: Sequence[str] | None) -> list[float] | None:
    """The names of classes as numbers; None where one cannot be read as a number."""
    try:
        return [float(name) for name in names] if names else None
    except ValueError:
        return None


def names_by_label(names: Sequence[str] | Mapping[str, Sequence[str]] | None, unnamed: str) -> dict[str, Sequence[str]]:
    """Names of classes as a DataModule has them, by label.

    Args:
        names: of a DataModule.
        unnamed: what a label without a name is called.
    """
    if isinstance(names, Mapping):
        return {label: list(each) for label, each in names.items() if each}
    return {unnamed: list(names)} if names else {}
