import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.data.labels import stack_labels

NAN = math.nan


def stacked(labels: list[Any]) -> Tensor:
    found = stack_labels(labels)
    assert isinstance(found, Tensor)
    return found


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0, 2, 1], [0, 2, 1]),
        ([2, None, -1], [2, -1, -1]),
        ([np.int64(3), torch.tensor(4), np.array(5), np.uint8(255)], [3, 4, 5, 255]),
        ([torch.tensor(2, dtype=torch.uint8), 2**40], [2, 2**40]),
    ],
)
def test_integers_are_class_indices(labels: list[Any], expected: list[int]) -> None:
    found = stacked(labels)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([0.9, 2.0, -1.5], [0.9, 2.0, -1.5]),
        ([0.5, None, NAN], [0.5, NAN, NAN]),
        ([np.float64(0.1), torch.tensor(2.5, dtype=torch.bfloat16), np.float16(3), np.array(4.0)], [0.1, 2.5, 3, 4]),
        ([torch.tensor([1.0, 2.0]), None, np.array([NAN, 3.0])], [[1, 2], [NAN, NAN], [NAN, 3]]),
        ([torch.tensor([1.0])], [[1.0]]),
    ],
)
def test_floats_are_regression_targets_and_are_never_cut(labels: list[Any], expected: list[Any]) -> None:
    torch.testing.assert_close(stacked(labels), torch.tensor(expected), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[0, 1, 1], (1, 0, 0)], [[0, 1, 1], [1, 0, 0]]),
        ([np.array([True, False]), None, torch.tensor([0, 1])], [[1, 0], [-1, -1], [0, 1]]),
        ([torch.tensor([-1, -1]), torch.tensor([True, True])], [[-1, -1], [1, 1]]),
        ([torch.tensor([1], dtype=torch.uint8)], [[1]]),
    ],
)
def test_vectors_of_0_and_1_are_multi_hot(labels: list[Any], expected: list[Any]) -> None:
    found = stacked(labels)
    assert found.dtype == torch.int64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    ("label", "fault"),
    [
        ("cat", r"'cat' \(str\) is no label; give a class index"),
        (np.str_("cat"), "is no label"),
        (b"3", "is no label"),
        (True, r"True \(bool\) is no label"),
        (np.bool_(True), "is no label"),
        (torch.tensor(False), "is no label"),
        (1j, "is no label"),
        (object(), "is no label"),
        ([0.1, 0.9], "is no label"),
        ([True, 1], "is no label"),
        ([], "is no label"),
        ([[0, 1]], "is no label"),
        (torch.zeros(4, 4), "is no label"),
        (torch.zeros(0), "is no label"),
        ([0, 2], r"\[0, 2\] \(list\) is no multi-hot vector"),
        (torch.tensor([3]), "is no multi-hot vector"),
        (np.array([-1, 1]), "is no multi-hot vector"),
        (-2, "-2 is no class index: these are 0 or above"),
        (torch.tensor(-100), "-100 is no class index"),
        (2**63, "is no class index"),
        (math.inf, "is infinite"),
        (np.float64(1e300), "too large for float32"),
        (torch.tensor([1.0, -math.inf]), "is infinite"),
    ],
)
@pytest.mark.parametrize("name", [None, "kind"])
def test_anything_else_is_refused_by_name_in_one_line(label: Any, fault: str, name: str | None) -> None:
    with pytest.raises(ValueError, match=("^labels: " if name is None else "^label 'kind': ") + f".*{fault}") as error:
        stack_labels([None, label if name is None else {name: label, "other": 1}])
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("labels", "fault"),
    [
        ([1, 0.5], "both a class index and a regression target"),
        ([torch.tensor([0, 1]), 1], "both a multi-hot vector and a class index"),
        ([torch.tensor([0.0, 1.0]), torch.tensor([0, 1])], "both a regression target and a multi-hot vector"),
        ([[0, 1], [0, 1, 0]], "a multi-hot vector must be of one length in all samples, got 2 and 3"),
        ([0.5, np.array([0.5])], "must be of one length in all samples, got no axis and 1"),
        ([{"a": 1}, 1], r"labels by name \(a dict\) and others have a plain label"),
        ([{3: 1}], "names of labels must be text, got 3"),
        ([{"a": {"b": 1}}], "label 'a': .* is no label"),
    ],
)
def test_mixed_labels_are_refused(labels: list[Any], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        stack_labels(labels)


@pytest.mark.parametrize("labels", [[None, None], [{}, None], [{"a": None}, {"a": None}]])
def test_without_any_label_there_are_none(labels: list[Any]) -> None:
    assert stack_labels(labels) is None


def test_a_name_that_a_sample_lacks_is_unlabeled_there_wherever_it_comes_first() -> None:
    found = stack_labels([{"shape": 1}, {"size": 0.5, "shape": None}, None, {"parts": [0, 1]}])
    assert isinstance(found, dict)
    assert found["shape"].tolist() == [1, -1, -1, -1]
    torch.testing.assert_close(found["size"], torch.tensor([NAN, 0.5, NAN, NAN]), equal_nan=True)
    assert found["parts"].tolist() == [[-1, -1], [-1, -1], [-1, -1], [0, 1]]
