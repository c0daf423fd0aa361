# S samples, N tokens, D width, T frames, H W height and width of labels, C classes
"""Segmentation and depth: linear layers on frozen tokens, with a grid of learning rates and weight decays."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.classification import multiclass_confusion_matrix

from jepa_lightning.data.dense import DEPTH, IGNORED, MASK
from jepa_lightning.evaluation.bootstrap import draw_weights
from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.figures import LEVEL
from jepa_lightning.evaluation.splits import hold_out
from jepa_lightning.evaluation.tasks import Grid, Record, Settings
from jepa_lightning.probing.dense_heads import DenseRecipe, dense_outputs, fit_dense

TOKENS = "tokens"
LABELS = {"segmentation": MASK, "depth": DEPTH}  # what each protocol needs
RECIPES: dict[Grid, dict[str, DenseRecipe]] = {
    "quick": dict.fromkeys(LABELS, DenseRecipe(((3e-2, 1e-3), (3e-3, 1e-3)), epochs=10)),
    "published": {
        "segmentation": DenseRecipe(
            tuple((lr, decay) for lr in (1.5e-3, 8e-4, 5e-4, 8e-5) for decay in (1e-1, 1e-2, 1e-4)), epochs=40
        ),
        "depth": DenseRecipe(
            tuple((lr, decay) for lr in (1.5e-3, 5e-4, 1e-4, 3e-5) for decay in (1e-3, 1e-4)), epochs=40
        ),
    },
}


@dataclass
class DenseTally:
    """What is counted of each image or clip, so that draws of these can be weighed.

    Attributes:
        classes: C; None for depth.
        counts: of each: a confusion matrix ``[C, C]`` (true classes are rows), or of depth the number of pixels, their
            sum, the sum of their squares, of squared and of absolute errors.
        frames: T of a clip, 1 of images.
    """

    classes: int | None
    counts: list[Tensor]
    frames: int = 1

    def add(self, outputs: Tensor, target: Tensor) -> None:
        """Adds images, or whole clips.

        Args:
            outputs: ``[B * T, C, H, W]``.
            target: ``[B * T, H, W]``.
        """
        for each, truth in zip(torch.split(outputs, self.frames), torch.split(target, self.frames), strict=True):
            if self.classes is None:
                known = ~truth.isnan()
                values, error = truth[known].double(), (each[:, 0] - truth)[known].double()
                sums = [values.sum(), values.square().sum(), error.square().sum(), error.abs().sum()]
                self.counts.append(torch.stack([known.sum().double(), *sums]).cpu())
            else:
                found = each.argmax(dim=1), truth.long()
                self.counts.append(
                    multiclass_confusion_matrix(*found, self.classes, ignore_index=IGNORED).double().cpu()
                )

    def figures(self, weights: Tensor | None = None) -> dict[str, Tensor]:
        """Metrics by name, the main one first.

        Args:
            weights: of the images ``[R, S]``; None weighs all alike.

        Returns:
            ``miou`` and ``pixel_accuracy``, or ``r2``, ``rmse`` and ``mae``, ``[R]`` each.
        """
        counts = torch.stack(self.counts)
        weights = torch.ones(1, len(counts), dtype=torch.double) if weights is None else weights
        total = torch.einsum("rs,s...->r...", weights, counts)
        if self.classes is not None:
            return _of_classes(total)
        number, values, squares, error, absolute = total.unbind(1)
        variance = squares - values.square() / number
        return {"r2": 1 - error / variance, "rmse": (error / number).sqrt(), "mae": absolute / number}

    @property
    def value(self) -> float:
        """The main metric."""
        return float(next(iter(self.figures().values())))


def _of_classes(total: Tensor) -> dict[str, Tensor]:
    hits = total.diagonal(dim1=1, dim2=2)
    union = total.sum(dim=1) + total.sum(dim=2) - hits
    # classes that are neither there nor found have no IoU, as in torchmetrics
    miou = (hits / union.clamp(min=1)).where(union > 0, torch.nan).nanmean(dim=1)
    return {"miou": miou, "pixel_accuracy": hits.sum(dim=1) / total.sum(dim=(1, 2))}


def dense(
    protocol: str,
    train: Table,
    test: Table,
    grid: Sequence[int],
    settings: Settings,
    names: Sequence[str] | None = None,
) -> dict[str, Record]:
    """A batch norm and a linear layer for each token, interpolated to the size of the labels.

    Source: V-JEPA 2.1's frozen protocols; its grids are the published ones, trained for 40 epochs here. The choice is
    made on a fifth of the training images, and its head is then trained again on all of them. Of clips, all frames are
    labeled, and those of a tubelet have the same outputs.

    Args:
        protocol: ``segmentation`` or ``depth``.
        train: tokens and labels of pixels.
        test: of other images.
        grid: rows and columns of the tokens, before them the tubelets of clips.
        settings: of all protocols.
        names: of the classes of a mask.

    Returns:
        Records by label, with an interval over images, or over clips.

    Raises:
        ValueError: if masks have more classes than names.
    """
    label = LABELS[protocol]
    recipe, rows = RECIPES[settings.grid][protocol], torch.arange(len(train.features[label]))
    frames = train.features[label].shape[1] if len(grid) == 3 else 1
    classes = None if protocol == "depth" else _number(names, train.features[label], test.features[label])
    fit, held = hold_out(rows, classes=False, seed=settings.seed)

    def tallies(places: Tensor, variants: Sequence[tuple[float, float]], *parts: tuple[Table, Tensor]) -> list[Any]:
        tokens, target = train.features[TOKENS], train.features[label]
        heads = fit_dense(tokens, target, places, classes or 1, grid, recipe, variants, settings.seed, settings.device)
        found = []
        for table, each in parts:
            counted = [DenseTally(classes, [], frames) for _ in variants]
            for outputs, truth in dense_outputs(
                heads, table.features[TOKENS], table.features[label], each, grid, settings.device
            ):
                for tally, values in zip(counted, outputs, strict=True):
                    tally.add(values, truth)
            found.append(counted)
        return found

    all_test = torch.arange(len(test.features[label]))
    chosen, tested = tallies(fit, recipe.variants, (train, held), (test, all_test))
    validation = [each.value for each in chosen]
    best = validation.index(max(validation))
    [[final]] = tallies(rows, [recipe.variants[best]], (test, all_test))
    return {label: _record(final, recipe.variants[best], max(validation), [each.value for each in tested], settings)}


def _record(
    found: DenseTally, chosen: tuple[float, float], validation: float, tested: list[float], settings: Settings
) -> Record:
    main = next(iter(found.figures()))
    drawn = found.figures(draw_weights(len(found.counts), settings.seed))[main]
    ends = drawn.nanquantile(torch.tensor([(1 - LEVEL) / 2, (1 + LEVEL) / 2], dtype=drawn.dtype)).tolist()
    return {
        **{name: float(value) for name, value in found.figures().items()},
        "interval": ends,
        "samples": len(found.counts),
        "lr": chosen[0],
        "weight_decay": chosen[1],
        "validation": validation,
        "best_on_test": max(found.value, *tested),
    }


def _number(names: Sequence[str] | None, *masks: np.ndarray[Any, Any]) -> int:
    """How many classes there are: those that have names, or else those that are met."""
    met = max(int(mask[mask != IGNORED].max(initial=0)) for mask in masks) + 1
    if names and met > len(names):
        raise ValueError(f"a mask has the class {met - 1}, and there are names of {len(names)}: correct the masks.")
    return max(len(names or ()), met, 2)
