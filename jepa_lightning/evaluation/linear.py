# S samples, D width
"""Linear classifiers on frozen features, fitted to the end, over a grid of weight decays and kinds of features."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from sklearn.linear_model import RidgeCV
from torch import Tensor

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.figures import tallied
from jepa_lightning.evaluation.splits import hold_out
from jepa_lightning.evaluation.tasks import Grid, Record, Settings, Task, standardized
from jepa_lightning.probing.label_kinds import LabelKind, ValueLabel
from jepa_lightning.probing.linear import ALPHAS
from jepa_lightning.probing.logistic import fit_logistic

# of the mean loss, strongest first, so that each solution is a start for the next
DECAYS: dict[Grid, list[float]] = {
    "quick": [10.0**-i for i in range(1, 7)],
    "published": [float(decay) for decay in np.logspace(1, -8, 28)],
}


class _Choice(NamedTuple):
    """Options, and how they do where they are compared and on the test samples."""

    layers: str
    decay: float | None
    validation: float
    test: float


def linear(task: Task, train: Table, test: Table, settings: Settings) -> Record:
    """Logistic regression of classes and tags, and ridge regression of values.

    Weight decay and features (the last block, or the last four side by side) are those that do best on a part of the
    training samples, and are then fitted to all of them. Ridge regression finds its penalty by leaving one out.

    Returns:
        Metrics, and what was chosen. ``validation`` is the main metric on the part that the choice was made on,
        ``best_on_test`` the highest that any choice reaches on the test samples, which is too favorable.
    """
    choices = [choice for layers in train.features for choice in _compare(layers, task, train, test, settings)]
    best = max(choices, key=lambda choice: choice.validation)
    x, y = standardized(train.features, test.features, best.layers, task, settings.device)
    [(outputs, _)] = fitted_outputs(task.kind, x, task.target.to(x.device), [y], [best.decay])
    found = tallied(task.kind, outputs[0].cpu(), task.test_target)
    return {
        **found.figures(settings.seed),
        "layers": best.layers,
        "weight_decay": best.decay,
        "validation": best.validation,
        "best_on_test": max(found.value, *(choice.test for choice in choices)),
    }


def _compare(layers: str, task: Task, train: Table, test: Table, settings: Settings) -> list[_Choice]:
    x, y = standardized(train.features, test.features, layers, task, settings.device)
    decays: list[float | None] = [None] if isinstance(task.kind, ValueLabel) else [*DECAYS[settings.grid]]
    held = task.target[task.held], task.test_target
    target = task.target[task.fit].to(x.device)
    fitted = fitted_outputs(task.kind, x[task.fit.to(x.device)], target, [x[task.held.to(x.device)], y], decays)
    return [
        _Choice(layers, decay, *(tallied(task.kind, o.cpu(), t).value for o, t in zip(outputs, held, strict=True)))
        for outputs, decay in fitted
    ]


def best_decay(kind: LabelKind, features: Tensor, target: Tensor, decays: list[float], seed: int) -> float:
    """The weight decay that does best on a fifth of the samples.

    Args:
        kind: of classes.
        features: ``[S, D]``, standardized.
        target: ``[S]``.
        decays: to compare, in falling order.
        seed: of the fifth.
    """
    fit, held = hold_out(target, classes=True, seed=seed)
    x, y = features[fit.to(features.device)], features[held.to(features.device)]
    fitted = fitted_outputs(kind, x, target[fit].to(x.device), [y], [*decays])
    values = [tallied(kind, outputs.cpu(), target[held]).value for [outputs], _ in fitted]
    return decays[values.index(max(values))]


def fitted_outputs(
    kind: LabelKind, features: Tensor, target: Tensor, others: list[Tensor], decays: list[float | None]
) -> Iterator[tuple[list[Tensor], float | None]]:
    """Outputs for other features, for one weight decay after the other, in falling order; None is found by the fit.

    Args:
        kind: of the label.
        features: ``[S, D]`` to fit on, standardized.
        target: of these samples.
        others: standardized alike.
        decays: of the mean loss.
    """
    if isinstance(kind, ValueLabel):
        mean, std = target.mean(dim=0), target.std(dim=0, correction=0)
        std = std.where(std > 0, 1)
        ridge = RidgeCV(ALPHAS).fit(features.cpu().numpy(), ((target - mean) / std).cpu().numpy())
        found = [torch.from_numpy(ridge.predict(each.cpu().numpy()).reshape(len(each), -1)) for each in others]
        yield [each * std.cpu() + mean.cpu() for each in found], None
        return
    fitted = None
    for decay in decays:
        assert decay is not None
        fitted = fit_logistic(features, target, kind, decay, fitted)
        yield [fitted(each) for each in others], decay
