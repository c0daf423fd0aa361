"""SIGTERM to some ranks where a run has nothing to save."""

import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lightning.pytorch.trainer.states import TrainerFn

from jepa_lightning.cli.exit_on_sigterm import ExitOnSIGTERM

# sends SIGTERM to one rank before its first batch, which the other ranks do not know of
SENDING = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class Sending(Callback):
    def __init__(self, rank: int) -> None:
        self.rank = rank

    def send(self, trainer, *_):
        if trainer.global_rank == self.rank:
            Path("sent").touch()
            os.kill(os.getpid(), signal.SIGTERM)

    on_validation_batch_start = on_test_batch_start = on_predict_batch_start = send

    def on_train_start(self, trainer, *_):
        Path(f"trained{trainer.global_rank}").touch()
"""


@pytest.fixture
def handler() -> Any:
    """What the user's code has set."""
    before = signal.getsignal(signal.SIGTERM)
    calls: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: calls.append(number))
    yield calls
    signal.signal(signal.SIGTERM, before)


def trainer_of(fn: TrainerFn, killed: list[int]) -> Any:
    launcher = SimpleNamespace(kill=killed.append)
    return SimpleNamespace(state=SimpleNamespace(fn=fn), strategy=SimpleNamespace(launcher=launcher))


def test_it_ends_the_process_and_those_that_it_started_after_the_users_handler(handler: list[int]) -> None:
    callback, module, killed = ExitOnSIGTERM(), Any, []
    trainer = trainer_of(TrainerFn.TESTING, killed)
    callback.setup(trainer, module, "test")
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # as Lightning registers its own
    callback.on_test_start(trainer, module)
    with pytest.raises(SystemExit) as stop:
        signal.raise_signal(signal.SIGTERM)
    assert stop.value.code == 128 + signal.SIGTERM
    assert killed == handler == [signal.SIGTERM]


def test_training_has_the_handler_of_lightning(handler: list[int]) -> None:
    callback, module = ExitOnSIGTERM(), Any
    trainer, lightnings = trainer_of(TrainerFn.FITTING, []), signal.getsignal(signal.SIGTERM)
    callback.setup(trainer, module, "fit")
    callback.on_sanity_check_start(trainer, module)
    assert signal.getsignal(signal.SIGTERM) != lightnings
    callback.on_train_start(trainer, module)
    assert signal.getsignal(signal.SIGTERM) == lightnings
    callback.on_validation_start(trainer, module)
    assert signal.getsignal(signal.SIGTERM) == lightnings


@pytest.mark.slow
@pytest.mark.parametrize(("command", "rank"), [("fit", 0), ("fit", 1), ("validate", 1), ("test", 0), ("predict", 1)])
def test_both_ranks_end_when_one_gets_the_signal(
    jobs: Any, tiny_cli: str, tmp_path: Path, command: str, rank: int
) -> None:
    (tmp_path / "sending.py").write_text(SENDING)
    arguments = [command, f"--config={tmp_path / tiny_cli}", "--trainer.devices=2", "--trainer.strategy=ddp"]
    arguments += ["--trainer.callbacks+=sending.Sending", f"--trainer.callbacks.rank={rank}"]
    arguments += ["--trainer.num_sanity_val_steps=2"] if command == "fit" else []
    jobs.start("job", *arguments)
    codes = jobs.exit_codes(120)
    assert codes[rank] == 128 + signal.SIGTERM
    assert 0 not in codes
    assert (tmp_path / "job" / "sent").exists()
    assert not (tmp_path / "job" / f"trained{rank}").exists()
    log = (tmp_path / "job" / "log").read_text()
    assert "Traceback" not in log, log[-3000:]
