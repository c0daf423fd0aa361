from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from jepa_lightning.callbacks import HyperparameterMetrics

Build = Callable[..., Any]


def test_tensorboard_shows_hyperparameters_with_final_metrics(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    logger = TensorBoardLogger(str(tmp_path), default_hp_metric=False)
    trainer = quiet_trainer(max_epochs=2, callbacks=[HyperparameterMetrics()], logger=logger, log_every_n_steps=1)
    data = shapes()
    data.save_hyperparameters({"num_train": 64})
    trainer.fit(tiny_ijepa(lr=0.003), data)
    events = EventAccumulator(logger.log_dir).Reload()
    (final,) = events.Scalars("final/loss")
    assert final.value == pytest.approx(events.Scalars("val/loss")[-1].value)
    assert final.step == 8
    start = HParamsPluginData.FromString(
        events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    ).session_start_info
    assert start.hparams["lr"].number_value == 0.003
    assert start.hparams["encoder"].string_value == "vit_tiny"
    assert start.hparams["num_train"].number_value == 64
    experiment = HParamsPluginData.FromString(
        events.SummaryMetadata("_hparams_/experiment").plugin_data.content
    ).experiment
    assert "final/loss" in {metric.name.tag for metric in experiment.metric_infos}


def test_without_tensorboard_or_without_validation_there_is_nothing_to_write(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    logger = TensorBoardLogger(str(tmp_path), default_hp_metric=False)
    for options in ({"logger": False}, {"logger": logger, "limit_val_batches": 0}):
        quiet_trainer(max_steps=1, callbacks=[HyperparameterMetrics()], **options).fit(tiny_ijepa(), shapes())
    assert "_hparams_/experiment" not in EventAccumulator(logger.log_dir).Reload().summary_metadata
