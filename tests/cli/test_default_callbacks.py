from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, ThroughputMonitor

from jepa_lightning.callbacks import (
    HyperparameterMetrics,
    LastCheckpoint,
    OnlineLinearProbe,
    RunReport,
    Summary,
    Throughput,
)
from jepa_lightning.cli.default_callbacks import with_defaults
from jepa_lightning.cli.main import main

CHARTS = ["LearningRateMonitor", "Throughput", "HyperparameterMetrics"]
ENDS = ["RunReport", "Summary"]


def names(given: Any, saves: bool = True, logs: bool = True) -> list[str]:
    return [type(callback).__name__ for callback in with_defaults(given, saves, logs)]


def test_checkpoints_charts_and_the_summary_are_added() -> None:
    assert names(None) == ["LastCheckpoint", *CHARTS, *ENDS]
    assert names(OnlineLinearProbe()) == ["OnlineLinearProbe", "LastCheckpoint", "BestCheckpoint", *CHARTS, *ENDS]
    assert names([], saves=False, logs=False) == ENDS
    (monitor,) = (each for each in with_defaults(None, False, True) if isinstance(each, LearningRateMonitor))
    assert monitor.log_weight_decay


@pytest.mark.parametrize(
    ("own", "replaces"),
    [
        (LearningRateMonitor(), "LearningRateMonitor"),
        (Throughput(), "Throughput"),
        (ThroughputMonitor(len), "Throughput"),
        (HyperparameterMetrics(), "HyperparameterMetrics"),
        (RunReport(), "RunReport"),
        (Summary(), "Summary"),
        (LastCheckpoint(), "LastCheckpoint"),
        (ModelCheckpoint(), "LastCheckpoint"),
    ],
)
def test_what_the_user_brings_is_not_added_again(own: Callback, replaces: str) -> None:
    added = [each for each in with_defaults([own], True, True) if each is not own]
    assert replaces not in [type(callback).__name__ for callback in added]
    assert len(added) == 5


def test_a_run_with_labels_that_are_values_keeps_its_best(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])
    model = (
        "--model IJEPA --model.encoder vit_tiny --model.width 48 --model.depth 1 --model.heads 3 --model.in_channels 2"
    )
    sizes = "--model.image_size 65 --model.patch_size 13 --model.predictor_depth 1 --model.predictor_dim 24"
    data = "--data TwoRoomsDataModule --data.num_frames 1 --data.num_train 16 --data.num_val 8 --data.batch_size 8"
    trainer = (
        "--trainer.max_steps 2 --trainer.accelerator cpu --trainer.callbacks OnlineLinearProbe --data.num_workers 0"
    )
    main(["fit", *f"{model} {sizes} {data} {trainer}".split(), "--trainer.enable_progress_bar", "false"])
    assert Path("logs/IJEPA/version_0/checkpoints/best.ckpt").is_file()
