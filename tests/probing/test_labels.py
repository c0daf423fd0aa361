# S samples, C classes, K columns
import pytest
import torch
from sklearn.metrics import accuracy_score, average_precision_score, r2_score

from jepa_lightning.probing.label_kinds import ClassLabel, TagLabel, ValueLabel
from jepa_lightning.probing.labels import kinds_of, score


def test_kinds_are_told_by_dtype_and_shape_and_classes_are_those_of_both_splits() -> None:
    train = {
        "class": torch.tensor([0, 1, -1]), "value": torch.rand(3), "point": torch.rand(3, 2),
        "tags": torch.ones(3, 4, dtype=torch.long),
    }  # fmt: skip
    val = {**train, "class": torch.tensor([4, 0])}
    kinds = kinds_of(train, val)
    assert {name: (type(kind), kind.size) for name, kind in kinds.items()} == {
        "class": (ClassLabel, 5), "value": (ValueLabel, 1), "point": (ValueLabel, 2), "tags": (TagLabel, 4),
    }  # fmt: skip


def test_scores_are_scikit_learns_over_the_labeled_samples() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, classes = torch.randn(50, 3, generator=generator), torch.randint(0, 3, (50,), generator=generator)
    expected = accuracy_score(classes[10:], logits[10:].argmax(1))
    classes[:10] = -1
    assert score("shape", ClassLabel(3), logits, classes) == {"shape": pytest.approx(expected)}
    outputs, values = torch.randn(50, 2, generator=generator), torch.randn(50, 2, generator=generator)
    expected = r2_score(values[5:], outputs[5:])
    values[:5, 0] = torch.nan
    assert score("place", ValueLabel(2), outputs, values) == {"place_r2": pytest.approx(expected, rel=1e-5)}
    tags = torch.randint(0, 2, (50, 3), generator=generator)
    expected = average_precision_score(tags, logits)
    assert score("tags", TagLabel(3), logits, tags) == {"tags_map": pytest.approx(expected, rel=1e-5)}


def test_a_label_that_no_sample_has_gives_no_figure() -> None:
    assert score("shape", ClassLabel(3), torch.zeros(4, 3), torch.full((4,), -1)) == {}
    assert score("place", ValueLabel(1), torch.zeros(4, 1), torch.full((4,), torch.nan)) == {}
