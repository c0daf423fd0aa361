from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor

from jepa_lightning.callbacks.probes.labels import ProbeLabels, listed
from jepa_lightning.probing.label_kinds import ClassLabel, TagLabel, ValueLabel

CLASSES, VALUES, TAGS = torch.tensor([0, 2]), torch.tensor([0.5, torch.nan]), torch.tensor([[0, 1, 1], [-1, -1, -1]])


@pytest.mark.parametrize(
    ("target", "kind", "size"), [(CLASSES, ClassLabel, 3), (VALUES, ValueLabel, 1), (TAGS, TagLabel, 3)]
)
def test_the_first_batch_tells_the_kind(target: Tensor, kind: type, size: int) -> None:
    labels = ProbeLabels("Probe", "Data", known=3)
    assert labels.kinds == {}
    (read,) = labels.read(target).values()
    assert type(labels.kinds[""]) is kind
    assert labels.kinds[""].size == size
    assert len(read) == 2


def test_a_dict_may_mix_kinds_and_chosen_names_choose_among_them() -> None:
    given = {"class": CLASSES, "angle": VALUES, "tags": TAGS}
    everything = ProbeLabels("Probe", "Data", known={"class": 3})
    assert everything.read(given).keys() == given.keys()
    chosen = ProbeLabels("Probe", "Data", chosen={"class": 3}, known={"class": 3})
    assert chosen.read(given).keys() == {"class"}


def test_batches_without_labels_are_passed_over() -> None:
    labels = ProbeLabels("Probe", "Data", known=3)
    assert labels.read(None) == {}
    assert labels.kinds == {}


@pytest.mark.parametrize(
    ("options", "batches", "said"),
    [
        ({}, [CLASSES], "Probe needs labels, and Data has no num_classes"),
        ({"known": 2}, [CLASSES], "Probe has 2 classes for a single label"),
        ({"known": 3}, [torch.tensor([-100, 0])], "-100"),
        ({"known": 1}, [CLASSES], "cannot tell 1 class apart"),
        ({"known": 3}, [CLASSES, VALUES], "give each label one type and shape"),
        ({"known": 3}, [torch.zeros(2, dtype=torch.bool)], "of type torch.bool and shape"),
        ({"chosen": {"shape": 3}}, [{"color": CLASSES}], "expects the label.s. shape, and the batches have .* color"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(options: dict[str, Any], batches: list[Any], said: str) -> None:
    labels = ProbeLabels("Probe", "Data", **options)
    *fitting, last = batches
    for each in fitting:
        labels.read(each)
    with pytest.raises(MisconfigurationException, match=said):
        labels.read(last)


def test_names_in_messages() -> None:
    assert listed([""]) == "a single label without a name"
    assert listed(["shape", "", "color"]) == "the label(s) shape, color"
