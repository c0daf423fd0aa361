# S samples, K columns of a label
"""Labels of a set of samples: what kinds there are, and how outputs for one are scored."""

from collections.abc import Mapping

from torch import Tensor

from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind, form_of, in_form
from jepa_lightning.probing.scores import ProbeScores, metric_name

Labels = Mapping[str, Tensor]


def kinds_of(labels: Labels, val_labels: Labels) -> dict[str, LabelKind]:
    """Kind of each label; the number of classes is what is there."""
    kinds: dict[str, LabelKind] = {}
    for name, target in labels.items():
        kind, columns = form_of(target) or (ClassLabel, 0)
        kinds[name] = kind(int(max(target.max(), val_labels[name].max())) + 1 if kind is ClassLabel else columns)
    return kinds


def score(name: str, kind: LabelKind, outputs: Tensor, target: Tensor) -> dict[str, float]:
    """The figure of one label by its name, from outputs ``[S, K]``; empty where no sample has the label."""
    scores = ProbeScores({name: kind}, ("",), outputs.device)
    scores.update({"": {name: outputs}}, {name: in_form(kind, target)})
    figures = {figure.name: figure.value for figure in scores.figures("", scores.counts)}
    key = metric_name(kind.suffix)
    return {metric_name(name, kind.suffix): figures[key]} if key in figures else {}
