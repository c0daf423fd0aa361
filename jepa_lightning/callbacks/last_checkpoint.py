"""The present state of a run in one checkpoint, to resume from."""

import math
import os
import signal
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import CombinedLoader, rank_zero_info
from torch.utils.data import DataLoader, IterableDataset

from jepa_lightning.callbacks.held_signals import HeldSignals, exit_on_signal
from jepa_lightning.checkpoints import save_whole
from jepa_lightning.options import PositiveInt, check_options


class LastCheckpoint(ModelCheckpoint):
    """Keeps ``last.ckpt`` at the state of the latest validation, and of the end; under FSDP it may be a folder.

    ``ModelCheckpoint(save_last=True)`` writes it only when it writes another file, so that beside a best score it grows
    old. States of the end of an epoch are left out too: a run that is limited by ``max_steps`` alone resumes from them
    one epoch too late. Without validation it is written at the last batch of each epoch.

    It is written whole or not at all. SIGTERM, SIGHUP, SIGUSR1 and SIGUSR2 wait for the end of a step, and of a batch
    in validation, on all ranks (on several ranks for the end of the next one); then the state is saved, and the run
    ends, or is requeued by SLURM. A validation that was stopped so is repeated when the run resumes.

    Args:
        dirpath: the folder; None takes ``checkpoints`` in the logger's.
        every_n_steps: saves after this number of optimizer steps too, where validations are rare.

    Raises:
        MisconfigurationException: if ``every_n_steps`` is below 1.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import LastCheckpoint
        >>> trainer = Trainer(callbacks=[LastCheckpoint("checkpoints", every_n_steps=1000)])
        >>> # a later run resumes with trainer.fit(module, ckpt_path="checkpoints/last.ckpt")
    """

    def __init__(self, dirpath: str | None = None, every_n_steps: PositiveInt | None = None) -> None:
        check_options(type(self), locals())
        super().__init__(dirpath, filename="last", save_on_train_epoch_end=False, enable_version_counter=False)
        self.every_n_steps = every_n_steps
        self._signals = HeldSignals()
        self._last_step = 0
        self._summing = False  # gradients, which are in no checkpoint
        self._owed = False
        self._stops_validation = False  # while a signal is handed over that came in one
        self._asks_in_validation = False
        self._saved_step = -1

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
        if due or self._owed or unvalidated or any(map(self._signals.ends, signals)):
            self._save(trainer)
        self._hand_over(trainer, signals)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds out whether all ranks can ask for signals together."""
        fitting = trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking
        self._asks_in_validation = fitting and _as_many_batches_everywhere(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: Any) -> None:
        """Saves when a signal has come, unless gradients are being summed, or nothing is left but this validation."""
        signals = self._signals.come(trainer) if self._asks_in_validation else []
        self._stops_validation = bool(signals)
        if any(map(self._signals.ends, signals)) and not self._summing and not _is_last_step(trainer):
            self._save(trainer)
        self._hand_over(trainer, signals)
        self._stops_validation = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Saves the state with what the validation has found; within an accumulation at the end of that."""
        if trainer.state.fn == TrainerFn.FITTING and not trainer.sanity_checking:
            self._owed = self._summing
            if not self._summing:
                self._save(trainer)

    def save_end(self, trainer: Trainer) -> None:
        """Saves the end of training: the last validation may have been some steps before."""
        self._save(trainer)

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ends the wait of signals. Those that came after the last step go to the user's own handlers alone.

        Not earlier: Lightning's handler of SIGTERM broadcasts, and a rank that does so alone makes the others hang.
        """
        if stage == TrainerFn.FITTING:
            for number in self._signals.release():
                handler = signal.getsignal(number)  # Lightning has taken its own away
                if callable(handler) and handler is not exit_on_signal:
                    handler(number, None)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Lets signals through again."""
        self._signals.release()

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Notes a validation that a signal stops as stopped in its first batch: Lightning then repeats all of it."""
        if self._stops_validation:
            progress = checkpoint["loops"]["fit_loop"]["epoch_loop.val_loop.batch_progress"]
            progress["current"] = dict.fromkeys(progress["current"], 0)
            progress["total"] = {"ready": 1, "started": 1, "processed": 0, "completed": 0}

    def _hand_over(self, trainer: Trainer, signals: list[int]) -> None:
        for number in signals:
            # a handler that does not end the run, such as SLURM's to requeue, saves a checkpoint
            saved = self._saved_step == trainer.global_step or not self._signals.ends(number)
            where = f"step {trainer.global_step}" if saved else "the last checkpoint before this step"
            rank_zero_info(f"{signal.Signals(number).name}: the run resumes from {where} with --ckpt_path last.")
            self._signals.hand_over(number)

    def _save(self, trainer: Trainer) -> None:
        self._owed = False
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            self.best_model_path = self.path
            self._saved_step = trainer.global_step
            save_whole(trainer, self.path, lambda path: trainer.save_checkpoint(path, self.save_weights_only))


class _SaveFirst(Callback):
    """Saves the end before other callbacks act on it: weight averaging puts its average in the place of the weights.

    Lightning calls callbacks that save checkpoints after all others.
    """

    def __init__(self, last: LastCheckpoint) -> None:
        self.last = last

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.last.save_end(trainer)


def _as_many_batches_everywhere(trainer: Trainer) -> bool:
    """Whether a validation has the same number of batches on all ranks, so that they can talk after each of them.

    The length of an ``IterableDataset`` does not count: it is an estimate, which ranks may miss by different numbers.
    """
    if trainer.world_size == 1:
        return True
    loaders = CombinedLoader(trainer.val_dataloaders).flattened
    exact = all(
        isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset) for loader in loaders
    )
    batches = sum(trainer.num_val_batches)
    known = exact and not math.isinf(batches)
    mine = torch.tensor(int(batches) if known else -1, device=trainer.strategy.root_device)
    all_of_them = trainer.strategy.all_gather(mine).tolist()
    return len(set(all_of_them)) == 1 and all_of_them[0] >= 0


def _is_last_step(trainer: Trainer) -> bool:
    """Whether training ends with this step: a run that resumed from here would leave out the rest of a validation."""
    last_epoch = trainer.max_epochs is not None and trainer.current_epoch + 1 >= trainer.max_epochs > 0
    return trainer.global_step >= trainer.max_steps > 0 or (last_epoch and trainer.is_last_batch)


def _validation_follows(trainer: Trainer, batch_idx: int) -> bool:
    """Whether a batch ends in a validation. A run that resumes from just before it would leave it out."""
    every = trainer.check_val_every_n_epoch
    if not trainer.enable_validation or (every is not None and (trainer.current_epoch + 1) % every):
        return False
    interval = trainer.val_check_batch
    if interval is None or math.isinf(interval):
        return trainer.is_last_batch
    done = trainer.fit_loop.total_batch_idx if every is None else batch_idx
    return (done + 1) % interval == 0
