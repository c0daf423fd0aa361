"""One run of a method on small images, and all that is measured of it."""

import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, Trainer

from jepa_lightning import JEPAModule
from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, ProbeReport
from jepa_lightning.data import JEPADataModule

Row = dict[str, float]
# columns of the table, and what the monitor calls them
COLLAPSE = {
    "RankMe": "collapse/rank",
    "effective rank": "collapse/effective_rank",
    "energy gap": "collapse/energy_gap",
}


class Clock(Callback):
    """Seconds in training steps, without callbacks that come after it, and without validation."""

    def __init__(self) -> None:
        self.seconds, self._began = 0.0, 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """Starts the clock."""
        self._began = time.perf_counter()

    def on_train_batch_end(self, *_: Any) -> None:
        """Stops it."""
        self.seconds += time.perf_counter() - self._began


def train(
    module: JEPAModule,
    data: JEPADataModule,
    steps: int,
    precision: str = "32-true",
    checkpoint: Path | None = None,
) -> tuple[Row, dict[str, dict[str, float]]]:
    """Trains, and measures the features that the method is judged by.

    Args:
        module: of any method.
        data: whose validation images the probes are scored on.
        steps: of the optimizer.
        precision: of the Trainer.
        checkpoint: file for the state after training; None saves none.

    Returns:
        Accuracies in % of the linear probe and of nearest neighbors for each label, measures of collapse, and seconds a
        step; then the accuracies of ``ProbeReport``, which has raw pixels and random weights too.
    """
    report, knn, clock = ProbeReport(), OnlineKNN(), Clock()
    monitor = CollapseMonitor(every_n_steps=max(1, min(50, steps // 4)))
    trainer = Trainer(
        max_steps=steps,
        val_check_interval=steps,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[clock, report, knn, monitor],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        precision=precision,
    )
    trainer.fit(module, datamodule=data)
    if checkpoint:
        trainer.save_checkpoint(checkpoint)
    row = linear(report.accuracy["trained"])
    for label, value in knn.best.items():
        if label == "val/knn" and len(knn.best) > 1:
            continue  # the first label, which is there under its own name
        row[f"kNN {label.removeprefix('val/knn').removeprefix('_') or 'class'}"] = 100 * value
    for column, metric in COLLAPSE.items():
        if metric in trainer.callback_metrics:  # the monitor measures once its memory is full
            row[column] = float(trainer.callback_metrics[metric])
    row["s/step"] = clock.seconds / steps
    return row, report.accuracy


def linear(accuracy: dict[str, float]) -> Row:
    """Columns of the linear probe, in %."""
    return {f"linear {label or 'class'}": 100 * value for label, value in accuracy.items()}
