import pytest
import torch
from torch import Tensor

from jepa_lightning.probing.attentive import attentive_probe
from jepa_lightning.probing.linear import linear_probe


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


@pytest.mark.slow
def test_an_attentive_probe_reads_values_and_multi_hot_labels() -> None:
    train, val = scattered(600, 0), scattered(300, 1)

    def labels(kind: Tensor) -> dict[str, Tensor]:
        return {"value": 1000.0 + 100 * (kind == 1), "tags": torch.stack([kind == 0, kind == 2], dim=1).long()}

    found = attentive_probe(train[0], labels(train[1]["kind"]), val[0], labels(val[1]["kind"]), epochs=30)
    assert found["value_r2"] > 0.7
    assert found["tags_map"] > 0.9
