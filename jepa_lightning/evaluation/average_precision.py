# S images, n boxes
"""The mean average precision of boxes, as COCO has it, by torchmetrics."""

from collections.abc import Sequence
from importlib.util import find_spec
from statistics import stdev
from typing import Any

import torch
from scipy.stats import t as student  # type: ignore[import-untyped]
from torchmetrics.detection import MeanAveragePrecision

from jepa_lightning.evaluation.bootstrap import draw_weights
from jepa_lightning.evaluation.figures import LEVEL
from jepa_lightning.probing.detector import Boxes

DRAWS = 12  # of images, of which each takes as long as the figure itself
METRICS = ("map", "map_50", "map_75")


def require_package() -> None:
    """Refuses to begin without the package that torchmetrics computes the figures with.

    Raises:
        ModuleNotFoundError: if it is not installed.
    """
    if find_spec("pycocotools") is None:
        raise ModuleNotFoundError(
            "detection needs pycocotools: pip install 'jepa_lightning[detection]'", name="pycocotools"
        )


def average_precision(found: Sequence[Boxes], truth: Sequence[Boxes], by_class: bool = False) -> dict[str, Any]:
    """The mean over classes and over overlaps (IoU) of .5, .55, ... .95 of the average precision.

    Source: torchmetrics, with pycocotools; at most 100 boxes an image count.

    Args:
        found: of each image ``boxes`` ``[n, 4]`` (left, top, right, bottom), ``labels`` ``[n]`` and ``scores`` ``[n]``.
        truth: of each image ``boxes``, ``labels`` and ``iscrowd`` ``[n]``: what is found in a crowd counts neither way.
        by_class: give that of each class too.

    Returns:
        ``map``, and at overlaps of .5 and .75 alone ``map_50`` and ``map_75``; -1 where there is no box. With
        ``by_class`` ``classes``, values by index.
    """
    metric = MeanAveragePrecision(class_metrics=by_class)
    metric.update(list(found), list(truth))
    figures = metric.compute()
    shown: dict[str, Any] = {name: float(figures[name]) for name in METRICS}
    if by_class:
        classes, values = (figures[name].reshape(-1).tolist() for name in ("classes", "map_per_class"))
        shown["classes"] = {index: value for index, value in zip(classes, values, strict=True) if value >= 0}
    return shown


def precision_interval(value: float, found: Sequence[Boxes], truth: Sequence[Boxes], seed: int) -> list[float]:
    """An interval over images around ``map``: Student's, with the deviation of 12 draws with replacement.

    Args:
        value: of all images.
        found: as in ``average_precision``.
        truth: as in ``average_precision``.
        seed: of the draws.
    """
    drawn = []
    for counts in draw_weights(len(truth), seed)[:DRAWS]:
        rows = torch.arange(len(truth)).repeat_interleave(counts.long()).tolist()
        drawn.append(average_precision([found[i] for i in rows], [truth[i] for i in rows])["map"])
    drawn = [each for each in drawn if each >= 0]  # others have no box
    half = float(student.ppf((1 + LEVEL) / 2, len(drawn) - 1)) * stdev(drawn)
    return [max(0.0, value - half), min(1.0, value + half)]
