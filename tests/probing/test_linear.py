import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from jepa_lightning.probing.linear import linear_probe


def blobs(size: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size)
    centers = np.random.default_rng(9).normal(size=(3, 6)) * 100
    features = (centers[labels] + rng.normal(size=(size, 6)) * 60).astype(np.float32)
    return torch.from_numpy(features), torch.from_numpy(labels)


def test_probe_equals_a_ridge_classifier_for_each_label() -> None:
    (features, first), (val, val_first) = blobs(200, 0), blobs(300, 1)
    labels = {"first": first, "second": (first == 1).long() + 5}
    val_labels = {"first": val_first, "second": (val_first == 1).long() + 5}
    found = linear_probe(features, labels, val, val_labels)
    scaler = StandardScaler().fit(features)
    for name in labels:
        # leave-one-out chooses a small one here, where the choice makes no difference
        slow = RidgeClassifier(alpha=0.1).fit(scaler.transform(features), labels[name])
        assert found[name] == pytest.approx(slow.score(scaler.transform(val), val_labels[name]), abs=0.02)
    assert 0.5 < found["first"] < 1


def test_scale_of_the_features_does_not_matter_and_noise_is_at_chance() -> None:
    (features, labels), (val, val_labels) = blobs(200, 0), blobs(600, 1)
    once = linear_probe(features, {"": labels}, val, {"": val_labels})
    assert linear_probe(1000 * features + 7, {"": labels}, 1000 * val + 7, {"": val_labels}) == once
    noise = torch.randn(800, 50, generator=torch.Generator().manual_seed(5))
    assert linear_probe(noise[:200], {"": labels}, noise[200:], {"": val_labels})[""] == pytest.approx(1 / 3, abs=0.1)


def test_values_and_multi_hot_labels_are_those_of_scikit_learn() -> None:
    (features, kind), (val, val_kind) = blobs(200, 0), blobs(300, 1)

    def labels(x: Tensor, kind: Tensor) -> dict[str, Tensor]:
        return {"size": x[:, :2] * torch.tensor([1.0, 1000.0]) + 5e4, "tags": (x[:, :3] > 0).long(), "kind": kind}

    train_labels, val_labels = labels(features, kind), labels(val, val_kind)
    found = linear_probe(features, train_labels, val, val_labels)
    assert list(found) == ["size_r2", "tags_map", "kind"]
    # classes are fitted as if they were alone
    assert found["kind"] == linear_probe(features, {"kind": kind}, val, {"kind": val_kind})["kind"]
    assert found["size_r2"] == pytest.approx(1, abs=1e-3)
    scaler = StandardScaler().fit(features)
    slow = Ridge(alpha=0.1).fit(scaler.transform(features), train_labels["tags"]).predict(scaler.transform(val))
    expected = average_precision_score(val_labels["tags"], slow, average="macro")
    assert found["tags_map"] == pytest.approx(expected, abs=0.01)
    assert linear_probe(features, {"": features[:, 0]}, val, {"": val[:, 0]}).keys() == {"r2"}


def test_a_class_that_training_lacks_is_never_chosen() -> None:
    (features, labels), (val, val_labels) = blobs(200, 0), blobs(300, 1)
    once = linear_probe(features, {"": labels}, val, {"": val_labels})
    assert linear_probe(features, {"": 2 * labels}, val, {"": 2 * val_labels}) == once
