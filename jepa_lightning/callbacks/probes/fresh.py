"""Callbacks whose state belongs to one fit: the next one starts afresh."""

from abc import ABC, abstractmethod
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer


class FreshCallback(Callback, ABC):
    """Base of the callbacks that forget earlier runs at the start of a fit.

    What the fit restores from its ``ckpt_path`` comes afterwards, and a state that a person loads between two runs is
    kept for the next fit.
    """

    _used = False
    _running = False
    _given = False  # whether a person has loaded the state

    @abstractmethod
    def reset(self) -> None:
        """Forgets everything that a run has left."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forgets earlier runs."""
        if stage == "fit":
            if self._used and not self._given:
                self.reset()
            self._given = False
        self._used = self._running = True

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ends the run."""
        self._running = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Ends the run, for which there is no ``teardown`` then."""
        self._running = False

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Notes whether the Trainer or a person restores the state."""
        self._given = not self._running
