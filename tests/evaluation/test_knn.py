from typing import Any

import numpy as np
import pytest
import torch
from sklearn.neighbors import KNeighborsClassifier

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.knn import knn


def test_knn_is_that_of_scikit_learn_on_the_same_features(tables: tuple[Table, Table], found: Any) -> None:
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


def test_the_choice_does_not_look_at_the_test_samples(tables: tuple[Table, Table], found: Any) -> None:
    train, test = tables
    other = Table(test.features, {name: each.flip(0) for name, each in test.labels.items()})
    first, second = (found((train, each), knn)["kind"] for each in (test, other))
    chosen = first.keys() - {"accuracy", "interval", "best_on_test"}
    assert {name: first[name] for name in chosen} == {name: second[name] for name in chosen}
    assert first["accuracy"] != second["accuracy"]


def test_a_perfect_encoder_scores_one_and_a_constant_one_a_single_class(found: Any) -> None:
    target = torch.tensor([0] * 30 + [1] * 20 + [2] * 10)
    perfect = Table({"last": torch.eye(3)[target].numpy()}, {"class": target})
    constant = Table({"last": torch.ones(60, 4).numpy()}, {"class": target})
    assert found((perfect, perfect), knn)["class"]["accuracy"] == 1
    # all samples have the same neighbors, and so the same answer
    assert round(60 * found((constant, constant), knn)["class"]["accuracy"]) in (30, 20, 10)
