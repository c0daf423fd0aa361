import pytest
import torch
from sklearn.metrics import average_precision_score, r2_score
from torch import Tensor

from jepa_lightning.probing.label_kinds import ClassLabel, TagLabel, ValueLabel
from jepa_lightning.probing.scores import ProbeScores, metric_name

CPU = torch.device("cpu")


def named(scores: ProbeScores, counts: Tensor) -> dict[str, float]:
    return {figure.name: figure.value for figure in scores.figures("linear", counts)}


def test_each_kind_has_its_metrics_over_all_batches() -> None:
    torch.manual_seed(0)
    kinds = {"shape": ClassLabel(3), "angle": ValueLabel(1), "tags": TagLabel(2)}
    scores = ProbeScores(kinds, [""], CPU)
    classes, angles = torch.tensor([0, 1, -1, 2]), torch.tensor([[0.1], [0.9], [0.4], [-0.3]])
    tags = torch.tensor([[0, 1], [1, 1], [1, 0], [0, 1]])
    logits, guessed, beliefs = torch.randn(4, 3), angles + 0.1 * torch.randn(4, 1), torch.randn(4, 2)
    for part in (slice(0, 2), slice(2, 4)):
        outputs = {"": {"shape": logits[part], "angle": guessed[part], "tags": beliefs[part]}}
        scores.update(outputs, {"shape": classes[part], "angle": angles[part], "tags": tags[part]})
    assert scores.counts.tolist() == [3, 4, 4]
    found = named(scores, scores.counts)
    known = classes >= 0
    accuracy = (logits.argmax(1) == classes)[known].float().mean().item()
    assert found["linear"] == found["linear_shape"] == pytest.approx(accuracy)
    assert found["linear_r2"] == found["linear_angle_r2"] == pytest.approx(r2_score(angles, guessed), abs=1e-5)
    assert found["linear_mae"] == pytest.approx((angles - guessed).abs().mean().item(), abs=1e-6)
    assert found["linear_tags_map"] == pytest.approx(average_precision_score(tags, beliefs, average="macro"), abs=1e-5)


def test_the_best_variant_gives_the_figure_and_each_has_one_of_its_own() -> None:
    scores = ProbeScores({"": ClassLabel(2)}, ["lr_.01", "lr_.1"], CPU)
    target = torch.tensor([0, 1])
    right, wrong = torch.eye(2), torch.eye(2).flip(0)
    scores.update({"lr_.01": {"": wrong}, "lr_.1": {"": right}}, {"": target})
    assert named(scores, scores.counts) == {"linear": 1.0, "linear/lr_.01": 0.0, "linear/lr_.1": 1.0}


def test_a_label_that_no_sample_has_is_not_logged() -> None:
    scores = ProbeScores({"": ClassLabel(2)}, [""], CPU)
    scores.update({"": {"": torch.eye(2)}}, {"": torch.tensor([-1, -1])})
    assert named(scores, scores.counts) == {}


def test_names() -> None:
    assert [metric_name("knn", "", ""), metric_name("knn", "angle", "r2")] == ["knn", "knn_angle_r2"]
