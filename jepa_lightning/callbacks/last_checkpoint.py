"""The present state of a run in one checkpoint, to go on from."""

import math
import os
import signal
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_info

from jepa_lightning.callbacks.held_signals import HeldSignals
from jepa_lightning.checkpoints import save_whole
from jepa_lightning.options import PositiveInt, check_options


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt`` at the state of the latest validation, and of the end; under FSDP it may be a folder.

    ``ModelCheckpoint(save_last=True)`` writes it only when it writes another file, so that beside a best score it grows
    old. States of the end of an epoch are left out too: a run that is limited by ``max_steps`` alone goes on from them
    one epoch too late. Without validation it is written at the last batch of each epoch.

    It is written whole or not at all. SIGTERM, and the signal by which SLURM requeues, wait for the end of a step on
    all ranks; then the state is saved, and Lightning ends or requeues the run.

    Args:
        dirpath: the folder; None takes ``checkpoints`` in the logger's.
        every_n_steps: saves after so many optimizer steps too, where a validation is far away.

    Raises:
        MisconfigurationException: if ``every_n_steps`` is below 1.
    """

    def __init__(self, dirpath: str | None = None, every_n_steps: PositiveInt | None = None) -> None:
        check_options(type(self), locals())
        super().__init__(dirpath, filename="last", save_on_train_epoch_end=False, enable_version_counter=False)
        self.every_n_steps = every_n_steps
        self._signals = HeldSignals()
        self._last_step = 0
        self._summing = False  # gradients, which are in no checkpoint
        self._owed = False

    @property
    def path(self) -> str:
        """Where the checkpoint is; known after ``setup``."""
        return os.path.join(str(self.dirpath), "last.ckpt")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Notes where the run starts or resumes; from here on signals wait."""
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        if not any(isinstance(callback, _SaveFirst) and callback.last is self for callback in callbacks):
            trainer.callbacks = [_SaveFirst(self), *callbacks]  # type: ignore[attr-defined]
        self._last_step = trainer.global_step
        self._signals.hold()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Saves when steps or a signal ask for it, and at the end of an epoch if there is no validation to do it."""
        self._summing = trainer.global_step == self._last_step
        if self._summing:
            return
        self._last_step = trainer.global_step
        signals = self._signals.come(trainer)
        every = self.every_n_steps
        due = every is not None and trainer.global_step % every == 0 and not _validation_follows(trainer, batch_idx)
        unvalidated = trainer.is_last_batch and not trainer.enable_validation
        if due or self._owed or unvalidated or signal.SIGTERM in signals:
            self._save(trainer)
        for number in signals:
            name = signal.Signals(number).name
            rank_zero_info(f"{name}: the run goes on from step {trainer.global_step} with --ckpt_path last.")
            self._signals.hand_over(number)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the state with what the validation has found; within an accumulation at the end of that."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._owed = self._summing
            if not self._summing:
                self._save(trainer)

    def save_end(self, trainer: Trainer) -> None:
        """Saves the end of training: the last validation may have been some steps before."""
        self._signals.release()
        self._save(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Lets signals through again."""
        self._signals.release()

    def _save(self, trainer: Trainer) -> None:
        self._owed = False
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.best_model_path = self.path
            save_whole(trainer, self.path, lambda path: trainer.save_checkpoint(path, self.save_weights_only))


class _SaveFirst(Callback):
    """Saves the end before other callbacks act on it: weight averaging puts its average in the place of the weights.

    Lightning calls callbacks that save checkpoints after all others.
    """

    def __init__(self, last: LastCheckpoint) -> None:
        self.last = last

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.last.save_end(trainer)


def _validation_follows(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a batch ends in a validation. A run that goes on from just before it would leave it out."""
    every = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
        return False
    interval = trainer.val_check_batch
    if interval is None or math.isinf(interval):
        return trainer.is_last_batch
    done = trainer.fit_loop.total_batch_idx if every is None else batch_idx
    return (done + 1) % interval == 0
