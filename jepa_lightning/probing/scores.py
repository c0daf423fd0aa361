# B batch, K outputs for a label
"""Metrics of a probe's outputs over one loader, and the names under which they are logged."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torchmetrics import Metric

from jepa_lightning.probing.label_kinds import LabelKind
from jepa_lightning.probing.metrics import precise

ByLabel = Mapping[str, Tensor]


class Figure(NamedTuple):
    """One value to log.

    Attributes:
        name: without the stage.
        value: of the metric.
        higher_is_better: how two of them compare.
    """

    name: str
    value: float
    higher_is_better: bool


class ProbeScores:
    """Metrics of each label and variant.

    Args:
        kinds: kind of each label by name.
        variants: names of classifiers that are compared.
        device: of the outputs.

    Attributes:
        counts: labeled samples of each label, ``[labels]``, of this rank alone.
    """

    def __init__(self, kinds: Mapping[str, LabelKind], variants: Sequence[str], device: torch.device) -> None:
        self.kinds, self.variants = kinds, variants
        self.counts = torch.zeros(len(kinds), device=device)
        self._metrics: dict[tuple[str, str], dict[str, Metric]] = {
            (label, variant): {
                suffix: metric.set_dtype(precise(device)).to(device) for suffix, metric in kind.metrics().items()
            }
            for label, kind in kinds.items()
            for variant in variants
        }

    def update(self, outputs: Mapping[str, ByLabel], labels: ByLabel) -> None:
        """Adds one batch.

        Args:
            outputs: ``[B, K]`` by variant and then by label; labels that are missing here are left out.
            labels: all of them.
        """
        for variant, by_label in outputs.items():
            for label, values in by_label.items():
                scored = self.kinds[label].scored(values, labels[label])
                for metric in self._metrics[label, variant].values():
                    metric.update(*scored)
        scored_labels = next(iter(outputs.values())).keys()
        self.counts += torch.stack(
            [
                self.kinds[label].labeled(labels[label]).sum() * (label in scored_labels)
                for label in self.kinds
            ]
        )  # fmt: skip

    def figures(self, name: str, counts: Tensor) -> list[Figure]:
        """What is logged: the first label of each kind by the probe's name alone, and each label by its own.

        Args:
            name: of the probe.
            counts: labeled samples of each label on all ranks.
        """
        found: dict[str, Figure] = {}
        for (label, kind), count in zip(self.kinds.items(), counts.tolist(), strict=True):
            if count < kind.least:
                continue
            values = {
                variant: {suffix: float(metric.compute()) for suffix, metric in self._metrics[label, variant].items()}
                for variant in self.variants
            }
            best = max(self.variants, key=lambda variant: values[variant][kind.suffix])
            for suffix, metric in self._metrics[label, best].items():
                higher = bool(metric.higher_is_better)
                value = values[best][suffix]
                own = metric_name(name, label if len(self.kinds) > 1 else "", suffix)
                for each in (metric_name(name, "", suffix), own):
                    found.setdefault(each, Figure(each, value, higher))
                for variant in filter(None, self.variants):
                    each = f"{own}/{variant}"
                    found[each] = Figure(each, values[variant][suffix], higher)
        return list(found.values())


def metric_name(*parts: str) -> str:
    """``linear``, ``linear_r2``, ``linear_shape`` or ``linear_angle_r2``, from a probe, a label and a metric."""
    return "_".join(part for part in parts if part)
