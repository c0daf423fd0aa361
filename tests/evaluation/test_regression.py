from collections.abc import Callable
from typing import Any

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.regression import names_by_label, regression


def test_values_and_counts_are_regressed_and_other_classes_are_not(
    counts: tuple[Table, Table], found: Callable[..., dict[str, Any]]
) -> None:
    records = found(counts, regression, count=["1", "2", "3", "4"])
    assert records["far"]["r2"] > 0.99
    assert 0.3 < records["count"]["r2"] < 1
    assert 0 < records["count"]["mae"] < 1
    assert found(counts, regression, count=["a", "b", "c", "d"])["count"] is None
    assert found(counts, regression)["count"] is None


def test_names_of_a_single_label_get_its_name() -> None:
    assert names_by_label(("1", "2"), "class") == {"class": ["1", "2"]}
    assert names_by_label({"a": ("1",), "b": ()}, "class") == {"a": ["1"]}
    assert names_by_label(None, "class") == {}
