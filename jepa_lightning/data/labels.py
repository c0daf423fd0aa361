# B batch, K targets or classes
"""Labels of samples, stacked into those of a batch: class indices, regression targets or multi-hot vectors."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from jepa_lightning.types import Labels

Kind = Literal["class index", "regression target", "multi-hot vector"]
FORMS = "a class index (int), a regression target (float or 1-d float array) or a multi-hot vector (1-d, of 0 and 1)"
UNLABELED: dict[Kind, float] = {"class index": -1, "regression target": math.nan, "multi-hot vector": -1}


class _Label(NamedTuple):
    """One label: its kind and its value, a scalar or ``[K]``."""

    kind: Kind
    value: Tensor


def stack_labels(labels: Sequence[Any]) -> Labels | None:
    """Labels of the samples of one batch as tensors; `jepa_lightning.types.Batch` describes them.

    Args:
        labels: one a sample: a class index (int), a regression target (float, or a 1-d float array or tensor), a
            multi-hot vector (1-d array or tensor of integers or bools, or a list of integers), a dict of these by name,
            or None.

    Returns:
        A tensor, or a dict of tensors, or None where no sample has a label. A name that only some samples have is
        unlabeled for the others.

    Raises:
        ValueError: if a label is none of these, or if the samples of the batch have labels of different kinds.
    """
    given = [label for label in labels if label is not None]
    if not given:
        return None
    named = [label for label in given if isinstance(label, Mapping)]
    if not named:
        return _column(labels, "labels")
    if len(named) < len(given):
        raise ValueError("some samples of a batch have labels by name (a dict) and others have a plain label.")
    names = dict.fromkeys(name for label in named for name in label)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise ValueError(f"names of labels must be text, got {wrong[0]!r}.")
    columns = {name: [None if label is None else label.get(name) for label in labels] for name in names}
    # a name without any value in this batch has no kind: it is absent, as labels are that are None for all samples
    stacked = {
        name: _column(column, f"label '{name}'")
        for name, column in columns.items()
        if any(value is not None for value in column)
    }
    return stacked or None


def _column(values: Sequence[Any], name: str) -> Tensor:
    """One label of all samples."""
    read = [None if value is None else _read(value, name) for value in values]
    given = [label for label in read if label is not None]
    kinds = list(dict.fromkeys(label.kind for label in given))
    if len(kinds) > 1:
        raise ValueError(f"{name}: one batch has both a {kinds[0]} and a {kinds[1]}; all samples must have one kind.")
    shapes = list(dict.fromkeys(tuple(label.value.shape) for label in given))
    if len(shapes) > 1:
        lengths = " and ".join(str(shape[0]) if shape else "no axis" for shape in shapes[:2])
        raise ValueError(f"{name}: a {kinds[0]} must be of one length in all samples, got {lengths}.")
    missing = torch.full(shapes[0], UNLABELED[kinds[0]], dtype=given[0].value.dtype)
    return torch.stack([missing if label is None else label.value for label in read])


def _read(value: Any, name: str) -> _Label:
    """One value as a label.

    Raises:
        ValueError: if it is none.
    """
    array = _as_array(value)
    if array is None or array.ndim > 1 or array.size == 0 or (array.ndim == 0 and array.dtype.kind == "b"):
        raise ValueError(f"{name}: {_shown(value)} is no label; give {FORMS}, or None.")
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):  # refused below
            target = torch.from_numpy(array.astype(np.float32))
        if target.isinf().any():
            raise ValueError(f"{name}: {_shown(value)} is infinite, or too large for float32; NaN means unlabeled.")
        return _Label("regression target", target)
    if array.ndim == 0:
        index = int(array)
        if not -1 <= index < 2**63:
            raise ValueError(f"{name}: {index} is no class index: these are 0 or above, and -1 means unlabeled.")
        return _Label("class index", torch.tensor(index))
    if not (np.isin(array, (0, 1)).all() or (array == -1).all()):
        raise ValueError(
            f"{name}: {_shown(value)} is no multi-hot vector: that has 0 and 1 alone, or -1 throughout where it "
            "is unlabeled. Give one integer for a class index, and floats for regression targets."
        )
    return _Label("multi-hot vector", torch.from_numpy(array.astype(np.int64)))


def _as_array(value: Any) -> np.ndarray[Any, Any] | None:
    """Numbers as an array of integers, bools or floats; None for anything else."""
    if isinstance(value, (list, tuple)):
        # a list of floats could be meant as either kind
        integers = bool(value) and all(type(item) is int or isinstance(item, np.integer) for item in value)
        return np.array(value) if integers else None
    if isinstance(value, Tensor):
        value = value.detach().cpu()
        value = (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16
    array = np.asarray(value) if isinstance(value, (int, float, np.generic, np.ndarray)) else None
    return array if array is not None and array.dtype.kind in "biuf" else None


def _shown(value: Any) -> str:
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else f'{text[:57]}...'} ({type(value).__name__})"
