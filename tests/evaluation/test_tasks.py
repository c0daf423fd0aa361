from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.tasks import tasks_of


@pytest.mark.parametrize(
    ("labels", "test_labels", "message"),
    [
        ({}, {}, "have no labels"),
        ({"class": torch.zeros(20).long()}, {"class": torch.zeros(20).long()}, "are of one class"),
        (
            {"class": torch.arange(20) % 2},
            {"class": torch.arange(20) % 4},
            "10 of the test samples are of classes that no",
        ),
        ({"class": torch.arange(20) % 2}, {}, "the test samples have no label 'class'"),
        ({"class": torch.full((20,), -1)}, {"class": torch.arange(20) % 2}, "none of the training samples has it"),
    ],
)
def test_what_cannot_be_learned_is_refused(labels: Any, test_labels: Any, message: str) -> None:
    features = {"last": np.zeros((20, 2), np.float32)}
    with pytest.raises(ValueError, match=message):
        tasks_of(Table(features, labels), Table(features, test_labels), seed=0)


def test_an_unknown_label_is_refused(tables: tuple[Table, Table]) -> None:
    with pytest.raises(ValueError, match="there is no label 'colour': the data have kind, value, tags"):
        tasks_of(*tables, seed=0, names=["colour"])
