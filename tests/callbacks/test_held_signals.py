import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import distributed as dist

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


@pytest.mark.slow
def test_it_can_be_imported_where_signals_are_missing() -> None:
    code = (
        "import signal, sys\n"
        "for name in ('SIGUSR1', 'SIGUSR2', 'SIGHUP'): delattr(signal, name)\n"
        "import jepa_lightning.callbacks.held_signals as held\n"
        "assert held.HELD == (signal.SIGTERM,) and not held.ENDING\n"
        "held.HeldSignals().hold()\n"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def two_ranks(rank: int, folder: Path) -> None:
    """Asks between other collectives, as in training; the second rank alone gets a signal, in its fourth step."""
    dist.init_process_group("gloo", f"file://{folder}/meeting", rank=rank, world_size=2, timeout=timedelta(seconds=120))
    trainer: Any = SimpleNamespace(world_size=2, strategy=SimpleNamespace(root_device=torch.device("cpu")))
    signal.signal(signal.SIGTERM, lambda number, frame: dist.barrier())  # a collective, as Lightning's handler is
    held = HeldSignals()
    held.hold()
    found, sums = [], []
    for step in range(8):
        bucket = torch.full((1000,), float(step + rank))
        pending = dist.all_reduce(bucket, async_op=True)
        if rank == 1 and step == 3:
            send(signal.SIGTERM)
        found.append(held.come(trainer))
        assert pending is not None
        pending.wait()
        sums.append(bucket[0].item())
        for number in found[-1]:
            held.hand_over(number)
    held.release()  # the answer to the last question is not read
    last = torch.tensor(rank + 1)
    dist.all_reduce(last)
    torch.save((found, sums, last.item()), folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.slow
def test_a_signal_to_one_rank_is_known_to_both_at_the_same_question(tmp_path: Path) -> None:
    # forked: under load the imports of two new processes take longer than any timeout here
    ranks = [get_context("fork").Process(target=two_ranks, args=(rank, tmp_path)) for rank in range(2)]
    for rank in ranks:
        rank.start()
    try:
        for rank in ranks:
            rank.join(180)
        assert [rank.exitcode for rank in ranks] == [0, 0]
    finally:
        for rank in ranks:
            rank.kill()
    expected = ([[signal.SIGTERM] if step == 4 else [] for step in range(8)], [2.0 * step + 1 for step in range(8)], 3)
    assert [torch.load(tmp_path / f"{rank}.pt", weights_only=False) for rank in range(2)] == [expected] * 2


def test_release_returns_what_came_and_was_not_handed_over(taken: list[int]) -> None:
    held = HeldSignals()
    held.hold()
    send(signal.SIGUSR1)
    assert held.release() == {signal.SIGUSR1}
    assert taken == []
    assert held.release() == set()
