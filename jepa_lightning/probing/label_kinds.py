# B batch, C classes, K columns of a label, k neighbors
"""The kinds of labels, told by dtype and shape: what each asks of a classifier, a loss and a metric."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics import MeanAbsoluteError, Metric
from torchmetrics.classification import MulticlassAccuracy

from jepa_lightning.probing.metrics import DefinedR2, PresentAveragePrecision, precise


class LabelKind(ABC):
    """One kind of label.

    Args:
        size: numbers that a probe outputs for it.

    Attributes:
        suffix: of the name of the metric by which probes are compared; higher is better.
    """

    suffix: ClassVar[str]
    least: ClassVar[int] = 1  # labeled samples that the metrics need

    def __init__(self, size: int) -> None:
        self.size = size

    @abstractmethod
    def described(self) -> int | str:
        """How checkpoints and messages name it."""

    @abstractmethod
    def missing(self, samples: int) -> Tensor:
        """Labels of samples that have none."""

    @abstractmethod
    def labeled(self, target: Tensor) -> Tensor:
        """Which samples have this label, bool ``[B]``."""

    @abstractmethod
    def offender(self, target: Tensor) -> Tensor:
        """A value that this label must not have, float ``[]``; -inf where all of them are in order."""

    @abstractmethod
    def refusal(self, value: float) -> str:
        """What is wrong with such a value, and which are allowed."""

    @abstractmethod
    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Loss of ``[B, size]`` outputs, summed over the labeled samples."""

    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """New metrics by the suffix of their name, the one that compares probes first."""

    @abstractmethod
    def scored(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs and targets as the metrics take them, of labeled samples alone."""

    @abstractmethod
    def from_neighbors(self, weights: Tensor, values: Tensor) -> Tensor:
        """Outputs ``[B, size]`` from the labels of neighbors, ``[B, k]`` or ``[B, k, K]``, with ``[B, k]`` weights."""


class ClassLabel(LabelKind):
    """A class index, int64 ``[B]``; -1 is unlabeled. Scored by top-1 accuracy.

    Args:
        size: C; 0 where it is not known.
    """

    suffix = ""

    def described(self) -> int:
        """C."""
        return self.size

    def missing(self, samples: int) -> Tensor:
        """All -1."""
        return torch.full((samples,), -1)

    def labeled(self, target: Tensor) -> Tensor:
        """Those that are not -1."""
        return target >= 0

    def offender(self, target: Tensor) -> Tensor:
        """A class that there is not."""
        return _largest(target, (target < -1) | ((target >= self.size) if self.size else target.isnan()))

    def refusal(self, value: float) -> str:
        """Names the class and the range."""
        there_are = f"{self.size - 1}" if self.size else "the number of classes less 1"
        return (
            f"a sample of class {value:.0f}: classes run from 0 to {there_are}, and -1 is unlabeled. Correct the labels"
            " or num_classes."
        )

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy."""
        # a class out of range would end in a fault of the device before it can be explained
        known = target.where((target >= 0) & (target < self.size), -1)
        return F.cross_entropy(outputs, known, ignore_index=-1, reduction="sum")

    def metrics(self) -> dict[str, Metric]:
        """Accuracy."""
        return {"": MulticlassAccuracy(self.size, average="micro", ignore_index=-1, validate_args=False)}

    def scored(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The metric leaves out -1 by itself."""
        return outputs, target.where(target < self.size, -1)

    def from_neighbors(self, weights: Tensor, values: Tensor) -> Tensor:
        """Sum of the weights of each class."""
        return weights.new_zeros(len(weights), self.size).scatter_add_(1, values, weights)


class ValueLabel(LabelKind):
    """Numbers, float ``[B, K]``; a row with a NaN is unlabeled. Scored by R2, averaged over K, and absolute error.

    R2 is not defined where all targets are equal: such columns are left out, and R2 is NaN where no column is left.

    Args:
        size: K.
    """

    suffix = "r2"
    least = 2

    def described(self) -> str:
        """K, and what they are."""
        return f"{self.size} value(s)"

    def missing(self, samples: int) -> Tensor:
        """All NaN."""
        return torch.full((samples, self.size), torch.nan)

    def labeled(self, target: Tensor) -> Tensor:
        """Rows without a NaN."""
        return ~target.isnan().any(dim=1)

    def offender(self, target: Tensor) -> Tensor:
        """Infinity, of either sign."""
        return _largest(target.abs(), target.isinf())

    def refusal(self, value: float) -> str:
        """Names it."""
        return f"the value {value} or -{value}: values must be finite, and NaN is unlabeled. Correct the labels."

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Squared error, averaged over K."""
        known = self.labeled(target)[:, None]
        # a NaN would pass through a product with 0, and through its gradient
        return ((outputs - target.where(known, 0)).square() * known).mean(dim=1).sum()

    def metrics(self) -> dict[str, Metric]:
        """R2 and mean absolute error."""
        r2 = DefinedR2()
        # sums get their shape from the first update, and a rank may have no labeled sample
        r2.update(*(torch.zeros(0, self.size) if self.size > 1 else torch.zeros(0) for _ in range(2)))
        return {"r2": r2, "mae": MeanAbsoluteError()}

    def scored(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Labeled rows; in double precision, since R2 subtracts sums of squares."""
        known = self.labeled(target)
        kept, truth = (values[known].to(precise(values.device)) for values in (outputs, target))
        return (kept[:, 0], truth[:, 0]) if self.size == 1 else (kept, truth)

    def from_neighbors(self, weights: Tensor, values: Tensor) -> Tensor:
        """Weighted mean."""
        return _weighted_mean(weights, values)


class TagLabel(LabelKind):
    """Several classes at once, int64 ``[B, K]`` of 0 and 1; a row of -1 is unlabeled. Scored by macro mAP.

    Args:
        size: K.
    """

    suffix = "map"

    def described(self) -> str:
        """K, and what they are."""
        return f"{self.size} tags"

    def missing(self, samples: int) -> Tensor:
        """All -1."""
        return torch.full((samples, self.size), -1)

    def labeled(self, target: Tensor) -> Tensor:
        """Rows that are not -1."""
        return (target >= 0).all(dim=1)

    def offender(self, target: Tensor) -> Tensor:
        """Another number, or -1 beside 0 and 1."""
        part = (target == -1) & ~(target == -1).all(dim=1, keepdim=True)
        return _largest(target, (target < -1) | (target > 1) | part)

    def refusal(self, value: float) -> str:
        """Names it."""
        return (
            f"the value {value:.0f} in a multi-hot row: rows hold 0 and 1, and a row of -1 alone is unlabeled. Correct "
            "the labels; class indices have a single dimension."
        )

    def loss(self, outputs: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy, averaged over K."""
        known = self.labeled(target)
        each = F.binary_cross_entropy_with_logits(outputs, target.clamp(0, 1).to(outputs.dtype), reduction="none")
        return (each.mean(dim=1) * known).sum()

    def metrics(self) -> dict[str, Metric]:
        """Mean average precision."""
        return {"map": PresentAveragePrecision(self.size, average=None, validate_args=False)}

    def scored(self, outputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """Labeled rows, brought into [0, 1]: the metric would take a sigmoid of some batches and not of others."""
        known = self.labeled(target)
        # keeps the order of large logits, of which a sigmoid makes ties
        return 0.5 + F.softsign(outputs[known].to(precise(outputs.device))) / 2, target[known]

    def from_neighbors(self, weights: Tensor, values: Tensor) -> Tensor:
        """Weighted share of the neighbors that have each tag."""
        return _weighted_mean(weights, values.to(weights.dtype))


SUFFIXES = tuple(kind.suffix for kind in (ClassLabel, ValueLabel, TagLabel))


def form_of(target: Tensor) -> tuple[type[LabelKind], int] | None:
    """The kind of a label as a batch has it, and its columns; None where it is none of them.

    Args:
        target: float ``[B]`` or ``[B, K]``, or integers ``[B]`` or ``[B, K]``.
    """
    columns = target.shape[1] if target.ndim == 2 else 1
    if target.ndim not in (1, 2) or columns == 0 or target.dtype == torch.bool or target.is_complex():
        return None
    if target.is_floating_point():
        return ValueLabel, columns
    if target.ndim == 1:
        return ClassLabel, columns
    return (TagLabel, columns) if columns > 1 else None


def in_form(kind: LabelKind, target: Tensor) -> Tensor:
    """A label as its kind takes it: ``[B, K]`` floats, or int64."""
    if isinstance(kind, ValueLabel):
        return target.reshape(len(target), -1).float()
    return target.long()


def _largest(values: Tensor, wrong: Tensor) -> Tensor:
    return values.float().where(wrong, -torch.inf).amax()


def _weighted_mean(weights: Tensor, values: Tensor) -> Tensor:
    return (weights[:, :, None] * values).sum(dim=1) / weights.sum(dim=1, keepdim=True)
