import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.evaluation import tuned_detection
from jepa_lightning.evaluation.detector_module import DetectorModule
from jepa_lightning.evaluation.evaluate import Evaluation
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Settings
from jepa_lightning.evaluation.tuned_detection import TUNED, DetectionOptions

Run = Callable[..., tuple[dict[str, Any], list[DetectorModule]]]


@pytest.fixture
def run(tmp_path: Path, shapes: Any, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Evaluates detection of scenes with four steps of training: the record, and the modules that were trained."""
    small = dataclasses.replace(TUNED["quick"].detector, channels=8, hidden=16, regions=8, proposals=10, steps=4)
    monkeypatch.setitem(TUNED, "quick", dataclasses.replace(TUNED["quick"], detector=small))
    trained: list[DetectorModule] = []
    real = DetectorModule.configure_optimizers

    def noted(self: DetectorModule) -> Any:
        trained.append(self)
        return real(self)

    monkeypatch.setattr(DetectorModule, "configure_optimizers", noted)

    def evaluated(module: Any, name: str = "out", **options: Any) -> tuple[dict[str, Any], list[DetectorModule]]:
        trained.clear()
        plain = {"num_train": 32, "num_val": 8, "batch_size": 8, "dense": True}
        data = shapes(**plain, pipeline=module.pipeline())
        data.setup()
        loaders = data.memory_dataloader(), data.test_dataloader()
        how = {"data_module": lambda: shapes(**plain), "detection": DetectionOptions(**options)}
        evaluation = Evaluation(Subject("checkpoint", module), loaders, "data", tmp_path / name, Settings(), **how)
        return evaluation.records("detection")["boxes"], [*trained]

    return evaluated


def test_a_copy_of_the_encoder_is_trained_and_the_encoder_itself_stays(run: Run, tiny_ijepa: Any) -> None:
    module = tiny_ijepa()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    record, [trained] = run(module, freeze=False)
    assert record["encoder"] == "fine-tuned"
    assert record["layer_decay"] == 0.75
    assert 0 <= record["interval"][0] <= record["map"] <= record["interval"][1] <= 1
    assert all(torch.equal(before[name], each) for name, each in module.state_dict().items())
    started = dict(module.eval_encoder.named_parameters())
    for name, each in trained.encoder.network.named_parameters():
        assert each.requires_grad == (name != "pos_embed")
        assert torch.equal(started[name], each) == (name == "pos_embed"), name


def test_a_frozen_encoder_stays_and_is_trained_by_nobody(run: Run, tiny_ijepa: Any) -> None:
    module = tiny_ijepa()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    record, trained = run(module)
    assert record["encoder"] == "frozen"
    assert "layer_decay" not in record
    assert trained == []
    assert all(torch.equal(before[name], each) for name, each in module.state_dict().items())


def test_rates_fall_from_layer_to_layer(run: Run, tiny_ijepa: Any) -> None:
    _, [trained] = run(tiny_ijepa(), freeze=False, layer_decay=0.5)
    groups = trained.optimizers().param_groups
    peaks = {group["name"].partition("-")[0]: group["initial_lr"] for group in groups}
    assert peaks == {"layer_0": 1.25e-4, "layer_1": 2.5e-4, "layer_2": 5e-4, "head": 1e-3}


def test_a_run_that_was_stopped_continues_to_the_same_figures(
    run: Run, tiny_ijepa: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, [trained] = run(tiny_ijepa(drop_path=0.5), "whole", freeze=False)
    real = DetectorModule.training_step

    def stops(self: DetectorModule, batch: Any, batch_idx: int) -> Any:
        if self.global_step == 2:
            raise RuntimeError("stopped")
        return real(self, batch, batch_idx)

    every_step = tuned_detection.fit_in.__globals__["LastCheckpoint"]
    monkeypatch.setitem(tuned_detection.fit_in.__globals__, "LastCheckpoint", lambda path: every_step(path, 1))
    with monkeypatch.context() as patch:
        patch.setattr(DetectorModule, "training_step", stops)
        with pytest.raises(RuntimeError, match="stopped"):
            run(tiny_ijepa(drop_path=0.5), "stopped", freeze=False)
    record, [again] = run(tiny_ijepa(drop_path=0.5), "stopped", freeze=False)
    assert again.global_step == 4
    state = trained.state_dict()
    assert all(torch.equal(state[name], each) for name, each in again.state_dict().items())
    assert record == whole


def test_options_that_nothing_would_use_are_refused() -> None:
    with pytest.raises(ValueError, match="layer_decay is for an encoder that is trained"):
        DetectionOptions(layer_decay=0.5)
    with pytest.raises(ValueError, match="layer_decay=0 is out of range"):
        DetectionOptions(freeze=False, layer_decay=0.0)
