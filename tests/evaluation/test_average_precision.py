import importlib.util
from typing import Any

import pytest
import torch
from torchvision.ops import box_iou

from jepa_lightning.evaluation.average_precision import average_precision, precision_interval, require_package

Boxes = dict[str, torch.Tensor]


def boxes(*sides: Any, labels: Any = None, scores: Any = None, crowds: Any = None) -> Boxes:
    """Boxes of an image; with scores those that were found."""
    found = {
        "boxes": torch.tensor(sides, dtype=torch.float32).view(-1, 4),
        "labels": torch.tensor(labels or [0] * len(sides)),
    }
    if scores is not None:
        return {**found, "scores": torch.tensor(scores, dtype=torch.float32)}
    return {**found, "iscrowd": torch.tensor(crowds or [0] * len(sides))}


def random_images(number: int) -> tuple[list[Boxes], list[Boxes]]:
    """Boxes of three classes, and others that are near some of them, or nowhere near."""
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> torch.Tensor:
        return torch.rand(*size, generator=generator)

    found, truth = [], []
    for _ in range(number):
        corner, size = draw(6, 2) * 60, 5 + draw(6, 2) * 30
        true, labels = torch.cat([corner, corner + size], dim=1), (draw(6) * 3).long()
        near = true + 4 * (draw(6, 4) - 0.5)
        guessed = torch.where(draw(6) < 0.8, labels, (draw(6) * 3).long())
        far = torch.cat([corner.flip(0), corner.flip(0) + size], dim=1)
        truth.append({"boxes": true[:4], "labels": labels[:4], "iscrowd": torch.zeros(4, dtype=torch.long)})
        every = torch.cat([near, far])
        found.append({"boxes": every, "labels": torch.cat([guessed, labels.flip(0)]), "scores": draw(12)})
    return found, truth


def slow_precision(found: list[Boxes], truth: list[Boxes], label: int, overlap: float) -> float:
    """The average precision of a class, box by box."""
    guesses = sorted(
        (-float(score), image, box)
        for image, each in enumerate(found)
        for score, box, kind in zip(each["scores"], each["boxes"].tolist(), each["labels"], strict=True)
        if kind == label
    )
    open_boxes = [each["boxes"][each["labels"] == label].tolist() for each in truth]
    number, hits, curve = sum(map(len, open_boxes)), 0, []
    for place, (_, image, box) in enumerate(guesses, 1):
        overlaps = [float(box_iou(torch.tensor([box]), torch.tensor([other]))) for other in open_boxes[image]]
        if overlaps and max(overlaps) >= overlap:
            open_boxes[image].pop(overlaps.index(max(overlaps)))
            hits += 1
        curve.append((hits / number, hits / place))
    points = [max((p for recall, p in curve if recall >= i / 100 - 1e-9), default=0.0) for i in range(101)]
    return sum(points) / 101


def test_figures_are_those_that_are_counted_box_by_box() -> None:
    found, truth = random_images(12)
    figures = average_precision(found, truth, by_class=True)
    each = torch.tensor(
        [[slow_precision(found, truth, label, 0.5 + 0.05 * i) for i in range(10)] for label in range(3)]
    )
    assert figures["map"] == pytest.approx(float(each.mean()), abs=1e-6)
    assert figures["map_50"] == pytest.approx(float(each[:, 0].mean()), abs=1e-6)
    assert figures["map_75"] == pytest.approx(float(each[:, 5].mean()), abs=1e-6)
    assert list(figures["classes"].values()) == pytest.approx(each.mean(dim=1).tolist(), abs=1e-6)
    assert 0.05 < figures["map"] < 0.95


def test_a_case_by_hand() -> None:
    truth = [boxes([0, 0, 10, 10], [20, 0, 30, 10])]
    # one of no object, then one with an overlap of .7: precision is 1 of 2 up to a recall of one half
    found = [boxes([50, 50, 60, 60], [0, 0, 10, 7], scores=[0.9, 0.8])]
    figures = average_precision(found, truth)
    assert figures["map_50"] == pytest.approx(51 / 101 / 2)
    assert figures["map_75"] == 0
    assert figures["map"] == pytest.approx(51 / 101 / 2 * 4 / 10, abs=0.026)  # .7 itself is a matter of rounding
    assert average_precision([{**truth[0], "scores": torch.ones(2)}], truth)["map"] == 1


def test_what_is_found_in_a_crowd_counts_neither_way() -> None:
    truth = [boxes([0, 0, 10, 10], [20, 0, 80, 60], crowds=[0, 1])]
    found = [boxes([20, 0, 30, 10], [0, 0, 10, 10], scores=[0.9, 0.8])]
    assert average_precision(found, truth)["map"] == 1
    truth[0]["iscrowd"].zero_()
    assert average_precision(found, truth)["map"] < 0.5


def test_images_without_boxes_count_what_is_found_in_them() -> None:
    truth = [boxes([0, 0, 10, 10]), boxes()]
    right = boxes([0, 0, 10, 10], scores=[0.5])
    assert average_precision([right, boxes(scores=[])], truth)["map"] == 1
    assert average_precision([right, boxes([0, 0, 10, 10], scores=[0.9])], truth)["map"] == pytest.approx(0.5)


def test_the_interval_is_around_the_figure_and_narrow_where_nothing_varies() -> None:
    found, truth = random_images(12)
    value = average_precision(found, truth)["map"]
    low, high = precision_interval(value, found, truth, seed=0)
    assert 0 < low < value < high < 1
    assert high - value == pytest.approx(value - low)
    assert precision_interval(value, found, truth, seed=0) == [low, high]
    # of four times as many images it is about half as wide
    smaller = precision_interval(value, found * 4, truth * 4, seed=0)
    assert 0.2 < (smaller[1] - smaller[0]) / (high - low) < 0.8
    perfect = [{**each, "scores": torch.ones(4)} for each in truth]
    # draws without a box have no figure
    assert precision_interval(1.0, [*perfect[:1], boxes(scores=[])], [*truth[:1], boxes()], seed=0) == [1, 1]


def test_a_missing_package_is_named_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    require_package()
    real = importlib.util.find_spec
    monkeypatch.setattr(
        "jepa_lightning.evaluation.average_precision.find_spec",
        lambda name: None if name == "pycocotools" else real(name),
    )
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'jepa_lightning\[detection\]'"):
        require_package()
