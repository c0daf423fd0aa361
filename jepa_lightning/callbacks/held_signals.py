"""Signals that end a job, held back until a step has ended on all ranks."""

import signal
import threading
from types import FrameType
from typing import Any

from lightning.pytorch import Trainer

# SLURM's signals to requeue, by its own choice or by the user's, and the one that ends a process
HELD = (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP, signal.SIGTERM)


class HeldSignals:
    """Keeps signals from Lightning's handlers until a step has ended, and hands them over on all ranks together.

    Lightning's handlers act at once: in the middle of a step, where the loader is a batch ahead, weights may have moved
    and their EMA not, and where each rank waits for the others at another place. A checkpoint of that moment is not
    the run's, and collectives of different kinds meet.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._came: set[int] = set()

    def hold(self) -> None:
        """Begins; signals without a handler in Python keep what they do."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in HELD:
            handler = signal.getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._note)

    def release(self) -> None:
        """Ends; the handlers are put back."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers, self._came = {}, set()

    def come(self, trainer: Trainer) -> list[int]:
        """The signals that have come to any rank since they were last asked for. All ranks ask together."""
        came, self._came = self._came, set()
        if not trainer.strategy.reduce_boolean_decision(bool(came), all=False):
            return []
        return [number for number in HELD if trainer.strategy.reduce_boolean_decision(number in came, all=False)]

    def hand_over(self, number: int) -> None:
        """Calls the handler that a signal was meant for."""
        if handler := self._handlers.get(number):
            handler(number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.add(number)
