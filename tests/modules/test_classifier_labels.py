import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from jepa_lightning.modules.classifier_labels import ClassifierLabels
from jepa_lightning.types import Batch


def batch(labels: object) -> Batch:
    return Batch([torch.zeros(6, 3, 4, 4)], labels=labels)  # type: ignore[arg-type]


def test_the_mean_over_views_counts_by_label() -> None:
    torch.manual_seed(0)
    labels, target, outputs = ClassifierLabels(), torch.tensor([0, 1, 2, 0, 1, 2]), torch.randn(4, 6, 3)
    assert torch.equal(labels.read(batch({"kind": target, "other": target}), {"kind": 3}, False)["kind"], target)
    labels.count("kind", outputs[:2, :3].repeat(1, 2, 1), target)
    labels.reset()
    labels.count("kind", outputs, target)
    mean = outputs.softmax(dim=2).mean(dim=0)
    expected = multiclass_accuracy(mean, target, 3, average="micro")
    assert {name: float(value) for name, value in labels.computed("val").items()} == {
        "val/kind_accuracy": pytest.approx(float(expected))
    }


def test_a_batch_without_labels_has_none() -> None:
    assert ClassifierLabels().read(batch(None), {"": 3}, True) == {}


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"other": torch.zeros(6).long()}, "outputs for a label without a name, and the batch has the label.s. other"),
        (torch.full((6,), 3), "a sample of class 3"),
        (torch.zeros(6, 2), "has 3 outputs .* torch.float32 of shape"),
    ],
)
def test_labels_that_do_not_fit_are_refused(labels: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ClassifierLabels().read(batch(labels), {"": 3}, training=False)
