from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule

from jepa_lightning.callbacks.prediction_source import PredictionSource, extra_columns
from jepa_lightning.types import Batch

IMAGES, LABELS = torch.zeros(2, 3), torch.tensor([4, 5], dtype=torch.int32)


def columns(source: PredictionSource, prediction: Any, batch: Any) -> dict[str, list[Any]]:
    found = source.label_columns(LightningModule(), prediction, batch)
    assert {each.dtype for each in found.values()} <= {torch.int64, torch.float32}
    return {name: each.tolist() for name, each in found.items()}


def test_labels_of_the_prediction_come_before_those_of_the_batch() -> None:
    source = PredictionSource("W")
    assert columns(source, None, (IMAGES, LABELS)) == {"labels": [4, 5]}
    assert columns(source, {"labels": torch.tensor([0.5, 1]).double()}, (IMAGES, LABELS)) == {"labels": [0.5, 1]}
    assert columns(source, {"labels": None}, (IMAGES, LABELS)) == {}
    assert columns(source, None, (IMAGES, {"a": LABELS})) == {"labels/a": [4, 5]}
    assert columns(source, None, Batch([IMAGES], labels=LABELS)) == {"labels": [4, 5]}


def test_batches_without_labels() -> None:
    for batch in (IMAGES, [IMAGES], Batch([IMAGES])):
        assert columns(PredictionSource("W"), None, batch) == {}
    assert columns(PredictionSource("W", labels=None), None, (IMAGES, LABELS)) == {}
    with pytest.raises(MisconfigurationException, match="the batch has no labels=3"):
        columns(PredictionSource("W", labels=3), None, (IMAGES, LABELS))


def test_paths() -> None:
    module, batch = LightningModule(), (IMAGES, LABELS, ["a", "b"])
    assert PredictionSource("W").paths_of(module, None, batch) == ()
    assert PredictionSource("W", paths=2).paths_of(module, None, batch) == ["a", "b"]
    assert PredictionSource("W", paths=2).paths_of(module, {"paths": ("c", "d")}, batch) == ("c", "d")
    assert PredictionSource("W").paths_of(module, None, Batch([IMAGES], paths=("e", "f"))) == ("e", "f")
    with pytest.raises(MisconfigurationException, match="W on LightningModule: paths=1 of the batch is a tensor"):
        PredictionSource("W", paths=1).paths_of(module, None, batch)


def test_extras_of_a_batch_are_columns() -> None:
    states, steps = torch.rand(2, 5, 3).double(), torch.tensor([3, 4], dtype=torch.int32)
    found = extra_columns(Batch([IMAGES], extras={"states": states, "steps": steps}))
    assert {name: each.dtype for name, each in found.items()} == {
        "extras/states": torch.float32,
        "extras/steps": torch.int64,
    }
    assert torch.equal(found["extras/states"], states.float())
    assert extra_columns((IMAGES, LABELS)) == extra_columns(Batch([IMAGES])) == {}
