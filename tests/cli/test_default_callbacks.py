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

CHARTS = ["LearningRateMonitor", "Throughput", "HyperparameterMetrics"]
ENDS = ["RunReport", "Summary"]


def names(given: Any, saves: bool = True, logs: bool = True) -> list[str]:
    return [type(callback).__name__ for callback in with_defaults(given, saves, logs)]


def test_checkpoints_charts_and_the_summary_are_added() -> None:
    assert names(None) == ["LastCheckpoint", *CHARTS, *ENDS]
    assert names(OnlineLinearProbe()) == ["OnlineLinearProbe", "LastCheckpoint", "ModelCheckpoint", *CHARTS, *ENDS]
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
