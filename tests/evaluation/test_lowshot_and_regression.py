from typing import Any

import pytest
import torch

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.lowshot import lowshot
from jepa_lightning.evaluation.regression import names_by_label, regression
from jepa_lightning.evaluation.tasks import Settings, tasks_of


@pytest.fixture
def tables() -> tuple[Table, Table]:
    torch.manual_seed(0)
    target = torch.arange(500) % 4
    features = (
        torch.randn(500, 6) + 1.5 * torch.eye(4, 6)[target] + target[:, None] * torch.tensor([0, 0, 0, 0, 0, 1.0])
    )
    rows = {"count": target, "far": features[:, 0] * 5 + 7}
    train = Table({"last": features[:400].numpy()}, {name: each[:400] for name, each in rows.items()})
    return train, Table({"last": features[400:].numpy()}, {name: each[400:] for name, each in rows.items()})


def found(tables: tuple[Table, Table], protocol: Any, **names: list[str]) -> dict[str, Any]:
    return {task.name: protocol(task, *tables, Settings(class_names=names)) for task in tasks_of(*tables, seed=0)}


def test_lowshot_draws_a_few_of_each_class(tables: tuple[Table, Table]) -> None:
    records = found(tables, lowshot)
    record = records["count"]
    amounts = record["amounts"]
    assert {name: each["samples"] for name, each in amounts.items()} == {
        "1 %": 4, "10 %": 40, "1 each": 4, "5 each": 20, "20 each": 80
    }  # fmt: skip
    assert amounts["20 each"]["accuracy"] > amounts["1 each"]["accuracy"]
    assert len(set(amounts["10 %"]["draws"])) > 1
    low, high = amounts["10 %"]["interval"]
    assert low < amounts["10 %"]["accuracy"] < high
    assert record["accuracy"] == amounts["1 %"]["accuracy"]
    assert records["far"] is None  # it is no class


def test_values_and_counts_are_regressed_and_other_classes_are_not(tables: tuple[Table, Table]) -> None:
    records = found(tables, regression, count=["1", "2", "3", "4"])
    assert records["far"]["r2"] > 0.99
    assert 0.3 < records["count"]["r2"] < 1
    assert 0 < records["count"]["mae"] < 1
    assert found(tables, regression, count=["a", "b", "c", "d"])["count"] is None
    assert found(tables, regression)["count"] is None


def test_names_of_a_single_label_get_its_name() -> None:
    assert names_by_label(("1", "2"), "class") == {"class": ["1", "2"]}
    assert names_by_label({"a": ("1",), "b": ()}, "class") == {"a": ["1"]}
    assert names_by_label(None, "class") == {}
