from collections.abc import Callable
from typing import Any

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.lowshot import lowshot


def test_lowshot_draws_a_few_of_each_class(counts: tuple[Table, Table], found: Callable[..., dict[str, Any]]) -> None:
    records = found(counts, lowshot)
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
