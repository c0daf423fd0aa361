from typing import Any

import pytest
import torch
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, mean_absolute_error, r2_score

from jepa_lightning.evaluation.figures import Tally, main_metric, tallied
from jepa_lightning.probing.label_kinds import ClassLabel, LabelKind, TagLabel, ValueLabel

CPU = torch.device("cpu")


def case(kind: type[LabelKind]) -> tuple[LabelKind, torch.Tensor, torch.Tensor]:
    """Outputs and labels of 40 samples, of which the first three have none."""
    torch.manual_seed(0)
    outputs = torch.randn(40, 3)
    if kind is ClassLabel:
        target = torch.randint(3, (40,))
        target[:3] = -1
    elif kind is ValueLabel:
        target = outputs + 0.3 * torch.randn(40, 3)
        target[:3] = torch.nan
    else:
        target = (outputs + torch.randn(40, 3) > 0).long()
        target[:3] = -1
    return kind(3), outputs, target


def test_an_accuracy_has_the_interval_of_wilson() -> None:
    kind, outputs, target = case(ClassLabel)
    right = int((outputs.argmax(dim=1) == target)[3:].sum())
    found: dict[str, Any] = tallied(kind, outputs, target).figures()
    assert found["accuracy"] == pytest.approx(right / 37)
    assert found["interval"] == pytest.approx([*binomtest(right, 37).proportion_ci(0.95, "wilson")])
    assert found["samples"] == 37
    assert main_metric(kind) == "accuracy"


def test_values_and_tags_are_scored_as_by_scikit_learn() -> None:
    kind, outputs, target = case(ValueLabel)
    found: dict[str, Any] = tallied(kind, outputs, target).figures()
    assert found["r2"] == pytest.approx(r2_score(target[3:], outputs[3:]), abs=1e-5)
    assert found["mae"] == pytest.approx(mean_absolute_error(target[3:], outputs[3:]), abs=1e-5)
    assert main_metric(kind) == "r2"
    kind, outputs, target = case(TagLabel)
    found = tallied(kind, outputs, target).figures()
    assert found["map"] == pytest.approx(average_precision_score(target[3:], outputs[3:], average="macro"), abs=1e-5)
    assert main_metric(kind) == "map"
    assert found["samples"] == 37
    assert found["interval"][0] < found["map"] < found["interval"][1]


@pytest.mark.parametrize("kind", [ClassLabel, ValueLabel, TagLabel])
def test_parts_make_the_same_figures_as_the_whole(kind: Any) -> None:
    made, outputs, target = case(kind)
    parts = Tally(made, CPU)
    for rows in (slice(2), slice(2, 3), slice(3, 30), slice(30, 40)):  # the first have no label
        parts.add(outputs[rows], target[rows])
    whole = tallied(made, outputs, target)
    assert parts.value == pytest.approx(whole.value)
    found, expected = parts.figures(seed=1), whole.figures(seed=1)
    assert found.keys() == expected.keys()
    assert all(found[name] == pytest.approx(expected[name]) for name in expected)


def test_the_seed_is_that_of_the_bootstrap() -> None:
    kind, outputs, target = case(ValueLabel)
    tally = tallied(kind, outputs, target)
    assert tally.figures(seed=1) == tally.figures(seed=1)
    assert tally.figures(seed=1)["interval"] != tally.figures(seed=2)["interval"]


def test_the_metric_that_compares_is_the_first() -> None:
    for kind in (ClassLabel, ValueLabel, TagLabel):
        made, outputs, target = case(kind)
        tally = tallied(made, outputs, target)
        name, value = next(iter(tally.figures().items()))
        assert (name, value) == (main_metric(made), tally.value)
