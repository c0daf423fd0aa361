import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jepa_lightning.callbacks.held_signals import HeldSignals


@pytest.fixture
def taken() -> Iterator[list[int]]:
    """Signals as a handler gets them."""
    taken: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: taken.append(number))
    yield taken
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_waits_until_it_is_handed_over(taken: list[int], quiet_trainer: Callable[..., Any]) -> None:
    held, trainer = HeldSignals(), quiet_trainer()
    held.hold()
    assert held.come(trainer) == []
    os.kill(os.getpid(), signal.SIGUSR1)
    assert taken == []
    assert held.come(trainer) == [signal.SIGUSR1]
    assert held.come(trainer) == []
    held.hand_over(signal.SIGUSR1)
    assert taken == [signal.SIGUSR1]
    held.release()
    os.kill(os.getpid(), signal.SIGUSR1)
    assert len(taken) == 2


def test_signals_without_a_handler_keep_what_they_do(taken: list[int]) -> None:
    before = signal.getsignal(signal.SIGUSR2)
    assert before is signal.SIG_DFL
    held = HeldSignals()
    held.hold()
    assert signal.getsignal(signal.SIGUSR2) is before
    held.hand_over(signal.SIGUSR2)  # of a rank that has one
    held.release()
