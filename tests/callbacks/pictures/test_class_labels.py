from types import SimpleNamespace

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning.callbacks.pictures.class_labels import class_labels, class_name, joint_labels
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.types import Batch

CLASSES, VALUES, TAGS = torch.tensor([2, -1]), torch.tensor([0.5, 1.5]), torch.tensor([[0, 1], [1, 1]])


def labels(given, chosen=None, **options):
    batch = Batch([torch.zeros(2, 3, 4, 4)], labels=given) if not isinstance(given, tuple) else given
    return class_labels(Source("Mine", "backbone", **options), torch.nn.Linear(1, 1), batch, chosen)


def test_the_first_label_of_classes_is_taken():
    name, found = labels({"speed": VALUES, "tags": TAGS, "shape": CLASSES, "color": CLASSES + 1})
    assert name == "shape"
    assert found.tolist() == [2, -1]
    assert labels({"shape": CLASSES, "color": CLASSES + 1}, "color")[1].tolist() == [3, 0]
    assert labels(CLASSES)[0] == ""


@pytest.mark.parametrize("given", [None, VALUES, TAGS, {"speed": VALUES}, (torch.zeros(2, 3, 4, 4),)])
def test_samples_without_classes_have_none(given):
    assert labels(given) is None


def test_a_name_that_there_is_not_is_refused():
    with pytest.raises(
        ValueError, match="there is no label 'colour' of classes; the labels of classes are shape, color"
    ):
        labels({"shape": CLASSES, "color": CLASSES, "speed": VALUES}, "colour")
    with pytest.raises(ValueError, match="the labels of classes are none with a name"):
        labels({"speed": VALUES}, "speed")


def test_labels_that_a_person_names_must_be_there():
    with pytest.raises(MisconfigurationException, match="the batch has no labels='digit'"):
        labels((torch.zeros(2, 3, 4, 4),), labels="digit")


def test_batches_without_labels_are_unlabeled_beside_others():
    name, classes = joint_labels([None, ("shape", torch.tensor([4, 5, 6]))], [2, 2])
    assert name == "shape"
    assert classes.tolist() == [-1, -1, 4, 5]
    assert joint_labels([None], [3])[0] == ""


def test_names_are_the_data_modules():
    trainer = SimpleNamespace(datamodule=SimpleNamespace(class_names={"shape": ("disc", "ring")}))
    assert class_name(trainer, "shape", 1) == "ring"
    assert class_name(trainer, "shape", 7) == "7"
    assert class_name(trainer, "color", 1) == "1"
    assert class_name(SimpleNamespace(datamodule=SimpleNamespace(class_names=("cat", "dog"))), "", 1) == "dog"
    assert class_name(SimpleNamespace(datamodule=None), "", 3) == "3"
