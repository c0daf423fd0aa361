# S samples, n boxes, h w of the grid, H W height and width of a view
"""Detection: torchvision's Faster R-CNN on frozen tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from jepa_lightning.data.dense import BOX_CLASSES, BOX_CROWDS, BOXES
from jepa_lightning.evaluation.average_precision import average_precision, precision_interval
from jepa_lightning.evaluation.dense import TOKENS
from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.splits import hold_out
from jepa_lightning.evaluation.tasks import Grid, Record, Settings
from jepa_lightning.probing.detector import Boxes, Detector
from jepa_lightning.probing.detector_training import DetectorRecipe, detections, fit_detector

FROZEN = "frozen"  # what ``encoder`` of a record is; or fine-tuned
RECIPES: dict[Grid, DetectorRecipe] = {
    "quick": DetectorRecipe(((1e-3, 1e-2),), epochs=20, steps=300, channels=32, hidden=128, regions=32, proposals=100),
    # sizes of torchvision, optimizer of ViTDet, and the length of Detectron's "1x"
    "published": DetectorRecipe(((1e-4, 0.1), (3e-4, 0.1), (1e-3, 0.1)), epochs=12),
}


@dataclass(frozen=True)
class Boxed:
    """Tokens and boxes of S samples.

    Attributes:
        tokens: ``[S, N, D]``, read from the disk as they are used.
        truth: of each sample ``boxes`` ``[n, 4]``, ``labels`` ``[n]`` and ``iscrowd`` ``[n]``.
    """

    tokens: Any
    truth: list[Boxes]

    @classmethod
    def of(cls, table: Table) -> "Boxed":
        """Those of a table, without the rows that fill its boxes up."""
        columns, wanted = table.features, (BOXES, BOX_CLASSES, BOX_CROWDS)
        copies = {name: torch.tensor(columns[name]) for name in wanted if name in columns}
        return cls(columns[TOKENS], boxes_of(copies))


def boxes_of(columns: Mapping[str, Tensor]) -> list[Boxes]:
    """Of each sample ``boxes``, ``labels`` and ``iscrowd``, without the rows that fill its boxes up.

    Args:
        columns: boxes, their classes and, where there are any, crowds, as in ``Batch.extras``.
    """
    truth = []
    for row, classes in enumerate(columns[BOX_CLASSES]):
        known = classes >= 0
        crowds = columns[BOX_CROWDS][row] if BOX_CROWDS in columns else torch.zeros_like(known)
        truth.append({"boxes": columns[BOXES][row][known], "labels": classes[known], "iscrowd": crowds[known].long()})
    return truth


def targets_of(truth: Sequence[Boxes]) -> list[Boxes]:
    """Boxes and labels of what is no crowd, which is no object to learn from."""
    return [{name: each[name][each["iscrowd"] == 0] for name in ("boxes", "labels")} for each in truth]


@dataclass(frozen=True)
class _Detectors:
    """Detectors on the same data.

    Attributes:
        train: to fit on.
        test: to report.
        names: of the classes.
        grid: h and w.
        size: H and W.
        settings: of all protocols.
    """

    train: Boxed
    test: Boxed
    names: Sequence[str]
    grid: Sequence[int]
    size: Sequence[int]
    settings: Settings

    @property
    def recipe(self) -> DetectorRecipe:
        """How they are trained."""
        return RECIPES[self.settings.grid]

    def fitted(self, rows: Tensor, variant: tuple[float, float]) -> Detector:
        """One that is trained on some of the training samples."""
        return fit_detector(
            self.train.tokens, targets_of(self.train.truth), rows, len(self.names), self.grid, self.size, self.recipe,
            variant, self.settings.seed, self.settings.device,
        )  # fmt: skip

    def found(self, detector: Detector, data: Boxed, rows: Tensor) -> list[Boxes]:
        """What it finds in some samples."""
        return list(detections(detector, data.tokens, rows, self.grid, self.size, self.settings.device))

    def chosen(self) -> tuple[tuple[float, float], dict[str, float]]:
        """The variant that does best on a fifth of the training samples, and how well; and the best on the test."""
        variants = self.recipe.variants
        if len(variants) == 1:
            return variants[0], {}
        fit, held = hold_out(torch.arange(len(self.train.truth)), classes=False, seed=self.settings.seed)
        detectors = [self.fitted(fit, variant) for variant in variants]
        values = [
            [
                average_precision(self.found(each, data, rows), [data.truth[i] for i in rows.tolist()])["map"]
                for each in detectors
            ]
            for data, rows in ((self.train, held), (self.test, torch.arange(len(self.test.truth))))
        ]
        best = max(values[0])
        return variants[values[0].index(best)], {"validation": best, "best_on_test": max(values[1])}


def detection(
    train: Table,
    test: Table,
    grid: Sequence[int],
    size: Sequence[int],
    settings: Settings,
    names: Sequence[str] | None = None,
) -> dict[str, Record]:
    """Boxes of objects, found by a detector that is trained on frozen tokens.

    Where there are several learning rates, the choice is made on a fifth of the training images, and the detector is
    then trained again on all of them. Boxes are those of the views, which are cut out of images that are not square,
    so that figures on COCO are not those of whole images.

    Args:
        train: tokens and boxes.
        test: of other images.
        grid: h and w.
        size: H and W.
        settings: of all protocols.
        names: of the classes of boxes.

    Returns:
        One record, with an interval over images, and ``classes``, the average precision of each.

    Raises:
        ValueError: if classes do not fit, or there are no boxes.
    """
    data = Boxed.of(train), Boxed.of(test)
    known = class_names(data[0].truth, data[1].truth, names)
    run = _Detectors(*data, known, grid, size, settings)
    variant, choice = run.chosen()
    truth = data[1].truth
    found = run.found(run.fitted(torch.arange(len(data[0].truth)), variant), data[1], torch.arange(len(truth)))
    record = figures_of(found, truth, known, settings.seed)
    if choice:
        choice["best_on_test"] = max(choice["best_on_test"], record["map"])
    return {BOXES: {**record, "encoder": FROZEN, "lr": variant[0], "weight_decay": variant[1], **choice}}


def figures_of(found: list[Boxes], truth: list[Boxes], names: Sequence[str], seed: int) -> Record:
    """The average precision of all classes and of each, with an interval, and how much it has been tried on.

    Args:
        found: of each image, as in ``average_precision``.
        truth: as there.
        names: of the classes.
        seed: of the draws of the interval.
    """
    figures = average_precision(found, truth, by_class=True)
    return {
        **figures,
        "classes": {names[index]: value for index, value in figures["classes"].items()},
        "interval": precision_interval(figures["map"], found, truth, seed),
        "samples": len(truth),
        "boxes": sum(len(each["boxes"]) for each in truth),
    }


def class_names(train: Sequence[Boxes], test: Sequence[Boxes], given: Sequence[str] | None) -> list[str]:
    """A name for each class, which is its number where the data have none.

    Args:
        train: boxes of training samples.
        test: of test samples.
        given: names, where the data know them.

    Raises:
        ValueError: if there are no boxes, more classes than names, or classes that only test samples have.
    """
    met = [torch.unique(torch.cat([each["labels"] for each in targets_of(truth)])).tolist() for truth in (train, test)]
    for split, classes in zip(("training", "test"), met, strict=True):
        if not classes:
            raise ValueError(f"none of the {split} images shows a box, so that there is nothing to detect.")
    number = max(met[0] + met[1]) + 1
    if given is not None and number > len(given):
        raise ValueError(f"a box has the class {number - 1}, and there are names of {len(given)}: correct the boxes.")
    names = list(given or map(str, range(number)))
    if unknown := [index for index in met[1] if index not in met[0]]:
        raise ValueError(
            f"test images have boxes of '{names[unknown[0]]}', and no training image has one: give training images of "
            f"{'it' if len(unknown) == 1 else f'the {len(unknown)} classes that lack'}, or leave these boxes out."
        )
    return names
