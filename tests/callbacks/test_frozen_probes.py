import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge, RidgeClassifier
from sklearn.metrics import average_precision_score
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from jepa_lightning.callbacks.frozen_probes import attentive_probe, linear_probe


def blobs(size: int, seed: int) -> tuple[Tensor, Tensor]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, size)
    centres = np.random.default_rng(9).normal(size=(3, 6)) * 100
    features = (centres[labels] + rng.normal(size=(size, 6)) * 60).astype(np.float32)
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


def scattered(size: int, seed: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Tokens of which one says what the sample is, by its own direction, and of which the mean says nothing."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, 3, (size,), generator=generator)
    tokens = torch.randn(size, 8, 16, generator=generator)
    marked = torch.randint(0, 8, (size,), generator=generator)
    tokens[torch.arange(size), marked, :3] = 8 * torch.eye(3)[labels]
    tokens[torch.arange(size), (marked + 1) % 8, :3] = -8 * torch.eye(3)[labels]
    tokens[torch.arange(size), marked, 3] = 8.0
    return 50 * tokens + 300, {"kind": labels, "half": (labels == 1).long()}


def test_attention_finds_the_one_token_that_tells() -> None:
    train, val = scattered(600, 0), scattered(300, 1)
    found = attentive_probe(*train, *val, epochs=60)
    assert found["kind"] > 0.95
    assert found["half"] > 0.95
    pooled = [(tokens.mean(dim=1), labels) for tokens, labels in (train, val)]
    assert linear_probe(*pooled[0], *pooled[1])["kind"] < 0.6


def test_an_attentive_probe_is_the_same_in_each_call_and_leaves_the_generator_alone() -> None:
    train, val = scattered(100, 0), scattered(50, 1)
    torch.manual_seed(3)
    state = torch.get_rng_state()
    first = attentive_probe(*train, *val, epochs=1)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(4)
    assert attentive_probe(*train, *val, epochs=1) == first


def test_an_attentive_probe_is_at_chance_on_labels_that_have_nothing_to_do_with_the_tokens() -> None:
    (tokens, _), (val_tokens, _) = scattered(300, 0), scattered(600, 1)
    labels = torch.randint(0, 3, (900,), generator=torch.Generator().manual_seed(2))
    found = attentive_probe(tokens, {"": labels[:300]}, val_tokens, {"": labels[300:]}, epochs=3)
    assert found[""] == pytest.approx(1 / 3, abs=0.1)


def test_an_attentive_probe_reads_a_label_as_if_it_were_the_only_one() -> None:
    (tokens, labels), (val_tokens, val_labels) = scattered(300, 0), scattered(200, 1)
    together = attentive_probe(tokens, labels, val_tokens, val_labels, epochs=2)
    for name in labels:
        alone = attentive_probe(tokens, {name: labels[name]}, val_tokens, {name: val_labels[name]}, epochs=2)
        assert alone == {name: together[name]}


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


@pytest.mark.slow
def test_an_attentive_probe_reads_values_and_multi_hot_labels() -> None:
    train, val = scattered(600, 0), scattered(300, 1)

    def labels(kind: Tensor) -> dict[str, Tensor]:
        return {"value": 1000.0 + 100 * (kind == 1), "tags": torch.stack([kind == 0, kind == 2], dim=1).long()}

    found = attentive_probe(train[0], labels(train[1]["kind"]), val[0], labels(val[1]["kind"]), epochs=30)
    assert found["value_r2"] > 0.7
    assert found["tags_map"] > 0.9
