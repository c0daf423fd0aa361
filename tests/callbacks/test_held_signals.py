import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from jepa_lightning.callbacks.held_signals import HeldSignals, exiting_on_signals


@pytest.fixture
def taken() -> Iterator[list[int]]:
    """Signals as a handler gets them."""
    taken: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: taken.append(number))
    yield taken
    signal.signal(signal.SIGUSR1, before)


def send(number: int) -> None:
    """A signal to this process, whose handler runs before the next line."""
    os.kill(os.getpid(), number)
    time.sleep(0.01)


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


def test_a_signal_that_is_ignored_stays_so(taken: list[int]) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
    try:
        held = HeldSignals()
        held.hold()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        held.release()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR2])
def test_a_signal_without_a_handler_exits_when_it_is_handed_over(
    number: signal.Signals, quiet_trainer: Callable[..., Any]
) -> None:
    assert signal.getsignal(number) is signal.SIG_DFL
    held, trainer = HeldSignals(), quiet_trainer()
    held.hold()
    os.kill(os.getpid(), number)
    assert held.come(trainer) == [number]
    assert held.ends(number)
    with pytest.raises(SystemExit) as stop:
        held.hand_over(number)
    assert stop.value.code == 128 + number
    held.release()
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_handler_of_the_user_does_not_end_the_run(taken: list[int]) -> None:
    held = HeldSignals()
    held.hold()
    assert not held.ends(signal.SIGUSR1)
    assert held.ends(signal.SIGTERM)
    held.release()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_python_drops_is_raised_at_the_next_question(quiet_trainer: Callable[..., Any]) -> None:
    class Loader:
        def __del__(self) -> None:
            send(signal.SIGINT)

    held, trainer = HeldSignals(), quiet_trainer()
    held.hold()
    try:
        Loader()  # deleted at once
        with pytest.raises(KeyboardInterrupt):
            held.come(trainer)
    finally:
        held.release()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_interrupt_acts_at_once(quiet_trainer: Callable[..., Any]) -> None:
    held = HeldSignals()
    held.hold()
    try:
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    finally:
        held.release()


def test_what_was_set_meanwhile_stays(quiet_trainer: Callable[..., Any]) -> None:
    held = HeldSignals()
    held.hold()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as Lightning does while it ends after Ctrl-C
    try:
        held.release()
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def test_within_a_command_a_signal_exits_through_python() -> None:
    with pytest.raises(SystemExit) as stop, exiting_on_signals():
        send(signal.SIGHUP)
    assert stop.value.code == 128 + signal.SIGHUP
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL


def test_under_slurm_signals_are_left_to_lightning(monkeypatch: Any) -> None:
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    with exiting_on_signals():
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_it_can_be_imported_where_signals_are_missing() -> None:
    code = (
        "import signal, sys\n"
        "for name in ('SIGUSR1', 'SIGUSR2', 'SIGHUP'): delattr(signal, name)\n"
        "import jepa_lightning.callbacks.held_signals as held\n"
        "assert held.HELD == (signal.SIGTERM,) and not held.ENDING\n"
        "held.HeldSignals().hold()\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
