"""How fast a training runs."""

import time
from collections import deque
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

RATE = "train/samples_per_second"


class Throughput(Callback):
    """Logs ``train/samples_per_second``: images or clips of all devices, over the last ``log_every_n_steps`` batches.

    Time spent in validation is left out; loading, saving and logging count. It reads the clock of the host without
    waiting for the device. Lightning's ``ThroughputMonitor`` waits for the device at each batch, and also measures
    operations per second.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import Throughput
        >>> trainer = Trainer(callbacks=[Throughput()], log_every_n_steps=20)
    """

    def __init__(self) -> None:
        self._batches: deque[tuple[float, int]] = deque()  # time of the end, number of samples
        self._paused = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts a new measurement."""
        self._batches = deque(maxlen=trainer.log_every_n_steps + 1)  # type: ignore[attr-defined]

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Logs the rate from the second batch on."""
        samples = len(batch.views[0])
        self._batches.append((time.monotonic(), samples * trainer.world_size))
        (begin, first), (end, _) = self._batches[0], self._batches[-1]
        if end > begin:
            total = sum(number for _, number in self._batches) - first
            pl_module.log(RATE, total / (end - begin), batch_size=samples)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stops the clock."""
        self._paused = time.monotonic()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Moves what was measured before by the time that the validation has taken."""
        took = time.monotonic() - self._paused
        self._batches = deque(((end + took, number) for end, number in self._batches), self._batches.maxlen)
