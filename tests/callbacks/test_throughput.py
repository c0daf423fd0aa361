from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.loggers.logger import DummyLogger

from jepa_lightning.callbacks import Throughput, throughput
from jepa_lightning.types import Batch

Build = Callable[..., Any]


class Recorder(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.rates: dict[int, float] = {}

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        if throughput.RATE in metrics:
            self.rates[step] = metrics[throughput.RATE]


def test_samples_of_all_devices_over_the_last_batches_without_validations(monkeypatch: Any) -> None:
    now, logged = 0.0, []
    monkeypatch.setattr(throughput, "time", SimpleNamespace(monotonic=lambda: now))
    trainer: Any = SimpleNamespace(log_every_n_steps=3, world_size=2)
    module: Any = SimpleNamespace(log=lambda name, value, batch_size: logged.append((name, value, batch_size)))
    callback = Throughput()
    callback.on_train_start(trainer, module)
    # seconds and size of each batch; the second validation takes as long as all of training
    for i, (seconds, size) in enumerate([(5.0, 4), (1.0, 4), (1.0, 4), (2.0, 8), (1.0, 4)]):
        now += seconds
        callback.on_train_batch_end(trainer, module, None, Batch([torch.zeros(size, 1)]), i)
        if i in (0, 2):
            callback.on_validation_start(trainer, module)
            now += 100
            callback.on_validation_end(trainer, module)
    # the first batch, with the start of workers, is not measured; the last four are 4 + 8 + 4 of each device in 4 s
    assert [value for _, value, _ in logged] == pytest.approx([8 / 1, 16 / 2, 32 / 4, 32 / 4])
    assert {name for name, _, _ in logged} == {"train/samples_per_second"}


def test_is_logged_at_the_steps_of_other_metrics(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> None:
    logger = Recorder()
    trainer: Trainer = quiet_trainer(
        max_steps=6, log_every_n_steps=2, callbacks=[Throughput()], logger=logger, num_sanity_val_steps=0
    )
    trainer.fit(tiny_ijepa(), shapes())
    assert list(logger.rates) == [1, 3, 5]
    assert all(rate > 0 for rate in logger.rates.values())
