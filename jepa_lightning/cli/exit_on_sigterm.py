"""SIGTERM where a run has nothing to save."""

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.trainer.states import TrainerFn
from torch.utils.data import get_worker_info

from jepa_lightning.callbacks.held_signals import exit_on_signal


class ExitOnSIGTERM(Callback):
    """Lets SIGTERM end the process in the sanity check before training, and in validate, test and predict.

    Lightning's handler broadcasts first: a rank that alone receives the signal then waits for the others, and meets
    another collective of theirs. Its predict loop does not end at all. Between Lightning's registration of that handler
    and the first batch of a run without a sanity check there is no hook, and the handler stays.
    """

    def __init__(self) -> None:
        self._before: Any = None  # Lightning registers its handler: what the user's code has set
        self._replaced: Any = None
        self._launcher: Any = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Notes the handler of the user's code."""
        self._before = signal.getsignal(signal.SIGTERM)

    def on_sanity_check_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replaces Lightning's handler."""
        self._replace(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replaces Lightning's handler, except within a fit, where ``LastCheckpoint`` saves first."""
        if trainer.state.fn != TrainerFn.FITTING:
            self._replace(trainer)

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replaces Lightning's handler."""
        self._replace(trainer)

    def on_predict_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Replaces Lightning's handler."""
        self._replace(trainer)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restores Lightning's handler; at the end of other commands Lightning restores what was there before."""
        if signal.getsignal(signal.SIGTERM) == self._exit:
            signal.signal(signal.SIGTERM, self._replaced)

    def _replace(self, trainer: Trainer) -> None:
        if threading.current_thread() is threading.main_thread():
            self._launcher = trainer.strategy.launcher
            self._replaced = signal.signal(signal.SIGTERM, self._exit)

    def _exit(self, number: int, frame: FrameType | None) -> None:
        if get_worker_info() is not None:  # a loader's worker has the handler of its parent, and ends with it
            return
        if self._launcher is not None:
            self._launcher.kill(number)  # the other ranks, where this process has started them
        if callable(self._before):
            self._before(number, frame)
        exit_on_signal(number, frame)
