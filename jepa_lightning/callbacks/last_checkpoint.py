"""The present state of a run in one file, to go on from."""

import os
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt`` at the state of the latest validation, and of the end.

    ``ModelCheckpoint(save_last=True)`` writes it only when it writes another file, so that beside a best score it grows
    old. States of the end of an epoch are left out too: a run that is limited by ``max_steps`` alone goes on from them
    one epoch too late. Without validation it is written at the last batch of each epoch.

    Args:
        dirpath: the folder; None takes ``checkpoints`` in the logger's.
    """

    def __init__(self, dirpath: str | None = None) -> None:
        super().__init__(dirpath, filename="last", save_on_train_epoch_end=False, enable_version_counter=False)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves at the end of an epoch, if there is no validation to do it."""
        if trainer.is_last_batch and not trainer.enable_validation:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the end: the last validation may have been some steps before."""
        self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.best_model_path = os.path.join(str(self.dirpath), "last.ckpt")
            trainer.save_checkpoint(self.best_model_path, self.save_weights_only)
