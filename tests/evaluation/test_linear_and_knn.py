from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.knn import knn
from jepa_lightning.evaluation.linear import linear
from jepa_lightning.evaluation.tasks import Settings, tasks_of


def table(features: torch.Tensor, **labels: torch.Tensor) -> Table:
    return Table({"last": features.numpy(), "last4": torch.cat([features, features.square()], 1).numpy()}, labels)


@pytest.fixture
def tables() -> tuple[Table, Table]:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(0, 4, (700,), generator=generator)
    features = torch.randn(700, 10, generator=generator) + torch.randn(4, 10, generator=generator)[target] * 0.8
    value = features[:, :2] * 3 + 0.1 * torch.randn(700, 2, generator=generator)
    tags = torch.stack([target > 1, target == 3], dim=1).long()
    rows = {"kind": target, "value": value, "tags": tags}
    return (
        table(features[:400], **{name: each[:400] for name, each in rows.items()}),
        table(features[400:], **{name: each[400:] for name, each in rows.items()}),
    )


def found(tables: tuple[Table, Table], protocol: Any) -> dict[str, Any]:
    return {task.name: protocol(task, *tables, Settings()) for task in tasks_of(*tables, seed=0)}


def test_linear_is_the_logistic_regression_of_scikit_learn_on_the_same_features(tables: tuple[Table, Table]) -> None:
    train, test = tables
    record = found(tables, linear)["kind"]
    scaler = StandardScaler().fit(train.features[record["layers"]])
    reference = LogisticRegression(C=1 / (record["weight_decay"] * 400), max_iter=5000, tol=1e-8)
    reference.fit(scaler.transform(train.features[record["layers"]]), train.labels["kind"].numpy())
    expected = reference.score(scaler.transform(test.features[record["layers"]]), test.labels["kind"].numpy())
    assert record["accuracy"] == pytest.approx(expected, abs=0.002)
    assert record["best_on_test"] >= record["accuracy"]
    assert record["interval"][0] < record["accuracy"] < record["interval"][1]


def test_linear_fits_values_and_tags(tables: tuple[Table, Table]) -> None:
    records = found(tables, linear)
    assert records["value"]["r2"] > 0.99
    assert records["value"]["interval"][0] < records["value"]["r2"] <= records["value"]["interval"][1]
    assert 0.6 < records["tags"]["map"] < 1


def test_knn_is_that_of_scikit_learn_on_the_same_features(tables: tuple[Table, Table]) -> None:
    train, test = tables
    record = found(tables, knn)["kind"]
    temperature, layers = record["temperature"], record["layers"]
    reference = KNeighborsClassifier(
        record["k"], weights=lambda far: np.exp((1 - far) / temperature), metric="cosine", algorithm="brute"
    )
    reference.fit(train.features[layers], train.labels["kind"].numpy())
    assert record["accuracy"] == pytest.approx(
        reference.score(test.features[layers], test.labels["kind"].numpy()), abs=1e-6
    )


def test_the_choice_does_not_look_at_the_test_samples(tables: tuple[Table, Table]) -> None:
    train, test = tables
    other = Table(test.features, {name: each.flip(0) for name, each in test.labels.items()})
    for protocol in (linear, knn):
        first, second = (found((train, each), protocol)["kind"] for each in (test, other))
        chosen = first.keys() - {"accuracy", "interval", "best_on_test"}
        assert {name: first[name] for name in chosen} == {name: second[name] for name in chosen}
        assert first["accuracy"] != second["accuracy"]


@pytest.mark.parametrize("protocol", [linear, knn])
def test_a_perfect_encoder_scores_one_and_a_constant_one_the_majority(protocol: Any) -> None:
    target = torch.tensor([0] * 30 + [1] * 20 + [2] * 10)
    perfect = Table({"last": torch.eye(3)[target].numpy()}, {"class": target})
    constant = Table({"last": torch.ones(60, 4).numpy()}, {"class": target})
    assert found((perfect, perfect), protocol)["class"]["accuracy"] == 1
    record = found((constant, constant), protocol)["class"]
    assert record["accuracy"] == (0.5 if protocol is linear else pytest.approx(record["accuracy"]))


def test_samples_without_a_label_are_left_out(tables: tuple[Table, Table]) -> None:
    train, test = tables
    train.labels["kind"][::2] = -1
    test.labels["kind"][:100] = -1
    assert found(tables, linear)["kind"]["samples"] == 200


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
