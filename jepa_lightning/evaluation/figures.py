# S samples, K numbers of an output
"""Metrics of outputs on a test set, with an interval of 95 %."""

import torch
from torch import Tensor

from jepa_lightning.evaluation.bootstrap import bootstrap_interval
from jepa_lightning.evaluation.intervals import wilson_interval
from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind
from jepa_lightning.probing.metrics import precise

LEVEL = 0.95


def main_metric(kind: LabelKind) -> str:
    """The name of the metric by which probes are compared, of which more is better."""
    return kind.suffix or "accuracy"


class Tally:
    """Metrics of one label, from outputs that come in parts.

    Args:
        kind: of the label.
        device: of the outputs.
    """

    def __init__(self, kind: LabelKind, device: torch.device) -> None:
        self.kind, self.count = kind, 0
        self._metrics = {
            suffix or "accuracy": metric.set_dtype(precise(device)).to(device)
            for suffix, metric in kind.metrics().items()
        }
        self._kept: list[tuple[Tensor, Tensor]] = []

    def add(self, outputs: Tensor, target: Tensor) -> None:
        """Adds outputs ``[S, K]`` and the labels of their samples."""
        scored = self.kind.scored(outputs, target)
        for metric in self._metrics.values():
            metric.update(*scored)
        self.count += int(self.kind.labeled(target).sum())
        if not isinstance(self.kind, ClassLabel):
            self._kept.append((outputs.cpu(), target.cpu()))

    @property
    def value(self) -> float:
        """The metric by which probes are compared."""
        return float(next(iter(self._metrics.values())).compute())

    def figures(self, seed: int = 0) -> dict[str, object]:
        """All metrics by name, ``interval`` of the first, and ``samples``, how many had the label.

        The interval is Wilson's for an accuracy, and of a bootstrap for other metrics.
        """
        found: dict[str, object] = {name: float(metric.compute()) for name, metric in self._metrics.items()}
        return {**found, "interval": self._interval(seed), "samples": self.count}

    def _interval(self, seed: int) -> list[float]:
        if isinstance(self.kind, ClassLabel):
            return list(wilson_interval(round(self.value * self.count), self.count, LEVEL))
        outputs, target = (torch.cat(parts) for parts in zip(*self._kept, strict=True))
        known = self.kind.labeled(target)
        return list(bootstrap_interval(self.kind, outputs[known], target[known], LEVEL, seed))


def tallied(kind: LabelKind, outputs: Tensor, target: Tensor) -> Tally:
    """The metrics of outputs that are all there."""
    found = Tally(kind, outputs.device)
    found.add(outputs, target)
    return found
