import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.evaluation import detection as module
from jepa_lightning.evaluation.detection import RECIPES, Boxed, detection
from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.tasks import Settings

NAMES = ("cat", "dog", "owl")


def table(samples: int, classes: Any = (0, 1, -1), crowds: Any = None) -> Table:
    """Boxes of which no two are the same, and tokens of a 2 x 2 grid."""
    places = torch.arange(samples * 3).view(samples, 3, 1).float()
    boxes = torch.cat([places % 7, places % 5, places % 7 + 8, places % 5 + 9], dim=2)
    labels = torch.tensor(classes).expand(samples, 3).clone()
    boxes[labels < 0] = torch.nan
    columns = {"tokens": np.zeros((samples, 4, 2), np.float16), "boxes": boxes.numpy(), "box_classes": labels.numpy()}
    more = {} if crowds is None else {"box_crowds": np.array([crowds] * samples)}
    return Table({**columns, **more}, {})


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A detector that finds what is there at learning rates above 1e-4, and nothing below; and what was fitted."""
    fits: list[Any] = []

    def fit_detector(*arguments: Any) -> float:
        fits.append(arguments)
        return float(arguments[7][0])

    def detections(rate: float, tokens: Any, rows: torch.Tensor, *others: Any) -> Any:
        truth = Boxed.of(table(len(tokens))).truth
        for i in rows.tolist():
            number = len(truth[i]["boxes"]) if rate > 1e-4 else 0
            yield {
                "boxes": truth[i]["boxes"][:number],
                "labels": truth[i]["labels"][:number],
                "scores": torch.ones(number),
            }

    monkeypatch.setattr(module, "fit_detector", fit_detector)
    monkeypatch.setattr(module, "detections", detections)
    return fits


def test_a_perfect_detector_scores_one(planted: list[Any]) -> None:
    record = detection(table(10), table(5), (2, 2), (16, 16), Settings(seed=3), NAMES)["boxes"]
    assert record["map"] == record["map_50"] == record["map_75"] == 1
    assert record["interval"] == [1, 1]
    assert record["classes"] == {"cat": 1, "dog": 1}
    assert (record["samples"], record["boxes"]) == (5, 10)
    # nothing to choose from, so that nothing is held out
    [(_, targets, rows, classes, grid, size, recipe, variant, seed, _)] = planted
    assert (len(rows), classes, grid, size, seed) == (10, 3, (2, 2), (16, 16), 3)
    assert (record["lr"], record["weight_decay"]) == variant == recipe.variants[0]
    assert [each["labels"].tolist() for each in targets] == [[0, 1]] * 10


def test_the_best_rate_of_the_held_out_samples_is_fitted_to_all(planted: list[Any]) -> None:
    record = detection(table(10), table(5), (2, 2), (16, 16), Settings("published"), NAMES)["boxes"]
    assert [len(arguments[2]) for arguments in planted] == [8, 8, 8, 10]
    assert [arguments[7][0] for arguments in planted] == [1e-4, 3e-4, 1e-3, 3e-4]
    assert record["lr"] == 3e-4
    assert record["validation"] == record["best_on_test"] == record["map"] == 1


def test_crowds_are_not_learned(planted: list[Any]) -> None:
    detection(table(10, crowds=[False, True, False]), table(5, classes=(0, -1, -1)), (2, 2), (16, 16), Settings())
    assert [each["labels"].tolist() for each in planted[0][1]] == [[0]] * 10


@pytest.mark.parametrize(
    ("train", "test", "names", "message"),
    [
        ((0, 1, -1), (0, 2, -1), NAMES, "test images have boxes of 'owl', and no training image has one"),
        ((0, -1, -1), (1, 2, -1), NAMES, "give training images of the 2 classes that lack"),
        ((0, 1, -1), (0, 3, -1), None, "test images have boxes of '3'"),
        ((0, 3, -1), (0, 1, -1), NAMES, "a box has the class 3, and there are names of 3"),
        ((-1, -1, -1), (0, 1, -1), NAMES, "none of the training images shows a box"),
        ((0, 1, -1), (-1, -1, -1), NAMES, "none of the test images shows a box"),
    ],
)
def test_classes_that_do_not_fit_are_refused(train: Any, test: Any, names: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        detection(table(10, train), table(5, test), (2, 2), (16, 16), Settings(), names)


def test_tokens_that_say_nothing_have_figures_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RECIPES, "quick", dataclasses.replace(RECIPES["quick"], steps=1))
    record = detection(table(10), table(5), (2, 2), (16, 16), Settings())["boxes"]
    assert 0 <= record["map"] < 0.5
    assert set(record["classes"]) == {"0", "1"}
