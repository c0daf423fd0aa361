"""Signals that end a job, held back until a step has ended on all ranks."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torch import distributed as dist
from torch.utils.data import get_worker_info

# SLURM's signals to requeue, by its own choice or by the user's, the end of a terminal, and the one that ends a
# process; Windows has only the last
HELD = tuple(getattr(signal, name) for name in ("SIGUSR1", "SIGUSR2", "SIGHUP", "SIGTERM") if hasattr(signal, name))
# without a handler these end a process immediately, and its workers are left behind
ENDING = tuple(number for number in HELD if number != signal.SIGTERM)


class HeldSignals:
    """Keeps signals from their handlers until a step has ended, and hands them over on all ranks together.

    Lightning's handlers act immediately: in the middle of a step, where the loader is a batch ahead, weights may have
    moved and their EMA not, and each rank waits for the others at another place. A checkpoint of that moment is not
    the run's, and collectives of different kinds meet.

    On several ranks a signal is known to all of them one question after it came: the answer of one question is read at
    the next one, when the device has long been through with it, so that no rank waits for its device.

    Ctrl-C acts immediately. But Python drops a KeyboardInterrupt that is raised while an object is deleted, as when the
    workers of a loader end; so it is remembered, and raised again at the next question.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Any] = {}
        self._came: set[int] = set()
        self._interrupted = False
        self._asked: _Question | None = None

    def hold(self) -> None:
        """Begins. What a process ignores stays ignored; SIGHUP and SIGUSR without a handler get one that exits."""
        if threading.current_thread() is not threading.main_thread():
            return
        for number in HELD:
            handler = signal.getsignal(number)
            if handler is signal.SIG_DFL and number in ENDING:
                handler = exit_on_signal
            if callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._note)
        if callable(handler := signal.getsignal(signal.SIGINT)):
            self._handlers[signal.SIGINT] = handler
            signal.signal(signal.SIGINT, self._interrupt)

    def release(self) -> set[int]:
        """Ends; the handlers are put back where nobody has set others since.

        Returns:
            the signals that came to this rank since the last question, and were handed to no handler.
        """
        for number, handler in self._handlers.items():
            if signal.getsignal(number) in (self._note, self._interrupt):
                signal.signal(number, signal.SIG_DFL if handler is exit_on_signal else handler)
        came = self._came
        self._handlers, self._came, self._asked, self._interrupted = {}, set(), None, False
        return came

    def come(self, trainer: Trainer) -> list[int]:
        """The signals that have come to any rank. All ranks ask together; on several it is those of the last question.

        Args:
            trainer: of the run.

        Raises:
            KeyboardInterrupt: if Ctrl-C came to this rank and its KeyboardInterrupt was dropped.
        """
        if self._interrupted:
            raise KeyboardInterrupt
        came, self._came = self._came, set()
        if trainer.world_size == 1:
            return [number for number in HELD if number in came]
        asked, self._asked = self._asked, _Question(came, trainer.strategy.root_device)
        return asked.answer() if asked else []

    def ends(self, number: int) -> bool:
        """Whether a signal ends the run without saving a checkpoint."""
        return number == signal.SIGTERM or self._handlers.get(number) is exit_on_signal

    def hand_over(self, number: int) -> None:
        """Calls the handler that a signal was meant for."""
        if handler := self._handlers.get(number):
            handler(number, None)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._came.add(number)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        self._interrupted = True
        self._handlers[number](number, frame)
        self._interrupted = False  # a handler of the user's own, which did not raise


class _Question:
    """Which signals have come to any rank, answered by the devices in their own time."""

    def __init__(self, came: set[int], device: torch.device) -> None:
        # no copy to a GPU, which would wait for it, while nothing has come
        flags = torch.zeros(len(HELD), dtype=torch.int32, device=device)
        for place, number in enumerate(HELD):
            if number in came:
                flags[place].fill_(1)
        dist.all_reduce(flags, dist.ReduceOp.MAX)
        self._flags: Tensor = flags
        self._done: torch.cuda.Event | None = None
        if device.type == "cuda":
            self._flags = torch.empty(len(HELD), dtype=torch.int32, pin_memory=True)
            self._flags.copy_(flags, non_blocking=True)
            self._done = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._done.record()

    def answer(self) -> list[int]:
        if self._done is not None:
            self._done.synchronize()
        return [number for number, flag in zip(HELD, self._flags.tolist(), strict=True) if flag]


def exit_on_signal(number: int, frame: FrameType | None) -> None:
    """A handler that exits as the signal would, but through Python, so that workers and loggers are closed first.

    Args:
        number: of the signal.
        frame: where it came.
    """
    if get_worker_info() is None:  # workers have it from their parent, and end when that ends
        sys.exit(128 + number)


@contextmanager
def exiting_on_signals() -> Iterator[None]:
    """Within it SIGHUP, SIGUSR1 and SIGUSR2 exit through Python, where nobody has set anything else for them.

    Under SLURM they are left to Lightning, which sets its own handlers where there are none.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    mine = [number for number in ENDING if main_thread and signal.getsignal(number) is signal.SIG_DFL]
    mine = [] if "SLURM_JOB_ID" in os.environ else mine
    for number in mine:
        signal.signal(number, exit_on_signal)
    try:
        yield
    finally:
        for number in mine:
            signal.signal(number, signal.SIG_DFL)
