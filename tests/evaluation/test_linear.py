from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.linear import linear


def test_linear_is_the_logistic_regression_of_scikit_learn_on_the_same_features(
    tables: tuple[Table, Table], found: Any
) -> None:
    train, test = tables
    record = found(tables, linear)["kind"]
    scaler = StandardScaler().fit(train.features[record["layers"]])
    reference = LogisticRegression(C=1 / (record["weight_decay"] * 400), max_iter=5000, tol=1e-8)
    reference.fit(scaler.transform(train.features[record["layers"]]), train.labels["kind"].numpy())
    expected = reference.score(scaler.transform(test.features[record["layers"]]), test.labels["kind"].numpy())
    assert record["accuracy"] == pytest.approx(expected, abs=0.002)
    assert record["best_on_test"] >= record["accuracy"]
    assert record["interval"][0] < record["accuracy"] < record["interval"][1]


def test_linear_fits_values_and_tags(tables: tuple[Table, Table], found: Any) -> None:
    records = found(tables, linear)
    assert records["value"]["r2"] > 0.99
    assert records["value"]["interval"][0] < records["value"]["r2"] <= records["value"]["interval"][1]
    assert 0.6 < records["tags"]["map"] < 1


def test_the_choice_does_not_look_at_the_test_samples(tables: tuple[Table, Table], found: Any) -> None:
    train, test = tables
    other = Table(test.features, {name: each.flip(0) for name, each in test.labels.items()})
    first, second = (found((train, each), linear)["kind"] for each in (test, other))
    chosen = first.keys() - {"accuracy", "interval", "best_on_test"}
    assert {name: first[name] for name in chosen} == {name: second[name] for name in chosen}
    assert first["accuracy"] != second["accuracy"]


def test_a_perfect_encoder_scores_one_and_a_constant_one_the_majority(found: Any) -> None:
    target = torch.tensor([0] * 30 + [1] * 20 + [2] * 10)
    perfect = Table({"last": torch.eye(3)[target].numpy()}, {"class": target})
    constant = Table({"last": torch.ones(60, 4).numpy()}, {"class": target})
    assert found((perfect, perfect), linear)["class"]["accuracy"] == 1
    assert found((constant, constant), linear)["class"]["accuracy"] == 0.5


def test_samples_without_a_label_are_left_out(tables: tuple[Table, Table], found: Any) -> None:
    train, test = tables
    train.labels["kind"][::2] = -1
    test.labels["kind"][:100] = -1
    assert found(tables, linear)["kind"]["samples"] == 200
