import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EMAWeightAveraging
from lightning.pytorch.utilities.exceptions import SIGTERMException

from jepa_lightning.callbacks import CollapseMonitor, LastCheckpoint, OnlineLinearProbe

Build = Callable[..., Any]


class Steps(Callback):
    """The step that the file is at, after each batch and at the end."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[int] = []

    def on_train_batch_start(self, *_: Any) -> None:
        self.seen.append(torch.load(self.path, weights_only=True)["global_step"] if self.path.exists() else 0)


@pytest.mark.parametrize(
    ("options", "steps"),
    [
        # an epoch has 4 batches
        ({"max_steps": 6, "val_check_interval": 2}, [0, 0, 2, 2, 4, 4]),
        ({"max_steps": 6, "limit_val_batches": 0}, [0, 0, 0, 0, 4, 4]),
        ({"max_epochs": 2}, [0, 0, 0, 0, 4, 4, 4, 4]),
        ({"max_steps": 6, "limit_val_batches": 0, "every_n_steps": 3}, [0, 0, 0, 3, 4, 4]),
        ({"max_steps": 6, "every_n_steps": 1}, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_follows_validations_and_ends_at_the_end(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, options: Any, steps: list[int]
) -> None:
    path = tmp_path / "last.ckpt"
    watch, last = Steps(path), LastCheckpoint(str(tmp_path), options.pop("every_n_steps", None))
    trainer = quiet_trainer(callbacks=[watch, last], enable_checkpointing=True, num_sanity_val_steps=0, **options)
    trainer.fit(tiny_ijepa(), shapes())
    assert watch.seen == steps
    assert torch.load(path, weights_only=True)["global_step"] == len(steps)
    assert [file.name for file in tmp_path.glob("*.ckpt")] == ["last.ckpt"]


def test_a_finished_run_can_be_made_longer(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    def run(steps: int, ckpt: str | None = None) -> Any:
        trainer = quiet_trainer(
            max_steps=steps, callbacks=[LastCheckpoint(str(tmp_path))], enable_checkpointing=True, limit_val_batches=0
        )
        trainer.fit(tiny_ijepa(), shapes(), ckpt_path=ckpt)
        return trainer

    run(2)
    assert run(5, str(tmp_path / "last.ckpt")).global_step == 5


class Copies(Callback):
    """Keeps every checkpoint there has been, by step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_start(self, trainer: Any, *_: Any) -> None:
        if (self.folder / "last.ckpt").exists():
            step = torch.load(self.folder / "last.ckpt", weights_only=True)["global_step"]
            shutil.copy(self.folder / "last.ckpt", self.folder / f"step{step}")


@pytest.mark.slow
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_run_continues_exactly_from_any_step(
    same_run: Any, tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, accumulate: int
) -> None:
    def run(ckpt: str | None = None) -> dict[str, Any]:
        callbacks: list[Any] = [OnlineLinearProbe(), CollapseMonitor(), LastCheckpoint(str(tmp_path), every_n_steps=1)]
        trainer = quiet_trainer(
            max_steps=10, val_check_interval=3, accumulate_grad_batches=accumulate, num_sanity_val_steps=0,
            enable_checkpointing=True, callbacks=[Copies(tmp_path), *callbacks],
        )  # fmt: skip
        # an odd number of batches, so that epochs end within what is summed up
        trainer.fit(tiny_ijepa(), shapes(num_train=80), ckpt_path=ckpt)
        state: dict[str, Any] = torch.load(tmp_path / "last.ckpt", weights_only=True)
        return state

    whole = run()
    saved = sorted(tmp_path.glob("step*"))
    assert len(saved) >= 8
    for path in saved:
        same_run(whole, run(str(path)), 10)


class AtValidation(Callback):
    def __init__(self, path: Path) -> None:
        self.path, self.seen = path, list[int]()

    def on_validation_start(self, trainer: Any, *_: Any) -> None:
        self.seen.append(torch.load(self.path, weights_only=True)["global_step"])


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({"val_check_interval": 2}, [1, 3, 5]),
        ({"val_check_interval": 3, "check_val_every_n_epoch": None}, [2, 5]),
        ({"check_val_every_n_epoch": 2, "max_steps": 8}, [7]),
    ],
)
def test_before_a_validation_nothing_is_saved_that_would_continue_after_it(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, options: Any, seen: list[int]
) -> None:
    watch = AtValidation(tmp_path / "last.ckpt")
    trainer = quiet_trainer(
        **{"max_steps": 6, **options}, num_sanity_val_steps=0, enable_checkpointing=True,
        callbacks=[watch, LastCheckpoint(str(tmp_path), every_n_steps=1)],
    )  # fmt: skip
    trainer.fit(tiny_ijepa(), shapes())
    assert watch.seen == seen


@pytest.mark.parametrize("stop", [4, 8])  # at the end of the first and of the second epoch
def test_beside_an_average_it_holds_the_weights_of_training(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, stop: int
) -> None:
    def run(name: str, steps: int, ckpt: str | None = None) -> dict[str, Any]:
        callbacks = [EMAWeightAveraging(decay=0.9), LastCheckpoint(str(tmp_path / name))]
        trainer = quiet_trainer(
            max_epochs=3, callbacks=callbacks, enable_checkpointing=True, limit_val_batches=0, num_sanity_val_steps=0
        )
        if steps < 12:
            trainer.callbacks.insert(0, StopAt(steps))
        trainer.fit(tiny_ijepa(), shapes(), ckpt_path=ckpt)
        found: dict[str, Any] = torch.load(tmp_path / name / "last.ckpt", weights_only=True)
        return found

    whole, stopped = run("whole", 12), run("stopped", stop)
    weight = "context_encoder.patch_embed.proj.weight"
    assert not torch.equal(stopped["current_model_state"][weight], stopped["state_dict"][weight])
    resumed = run("resumed", 12, str(tmp_path / "stopped/last.ckpt"))
    assert resumed["global_step"] == whole["global_step"] == 12
    for part in ("current_model_state", "state_dict"):
        torch.testing.assert_close(resumed[part], whole[part], rtol=0, atol=0)


class StopAt(Callback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        trainer.should_stop = trainer.global_step >= self.step


class SignalInValidation(Callback):
    """Sends a signal in a batch of a validation, and counts the batches of each validation."""

    def __init__(self, number: int, step: int = 4) -> None:
        self.number, self.step = number, step
        self.batches: list[tuple[int, int]] = []
        self.losses: dict[int, float] = {}

    def on_validation_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.batches.append((trainer.global_step, batch_idx))
        if self.number and self.batches[-1] == (self.step, 1):
            os.kill(os.getpid(), self.number)

    def on_validation_end(self, trainer: Any, *_: Any) -> None:
        self.losses[trainer.global_step] = float(trainer.callback_metrics["val/loss"])


@pytest.mark.parametrize(("number", "end"), [(signal.SIGTERM, SIGTERMException), (signal.SIGHUP, SystemExit)])
def test_a_signal_in_a_validation_acts_at_the_end_of_its_batch_and_the_validation_is_repeated(
    same_run: Any, tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, number: int, end: Any
) -> None:
    def fit(folder: str, number: int = 0, ckpt: Any = None) -> SignalInValidation:
        watch = SignalInValidation(number)
        trainer = quiet_trainer(
            max_steps=8, val_check_interval=2, num_sanity_val_steps=0, enable_checkpointing=True,
            callbacks=[watch, OnlineLinearProbe(), CollapseMonitor(), LastCheckpoint(str(tmp_path / folder))],
        )  # fmt: skip
        try:
            trainer.fit(tiny_ijepa(), shapes(num_val=64), ckpt_path=ckpt)
        except end:
            assert number
        return watch

    whole = fit("whole")
    path = tmp_path / "stopped" / "last.ckpt"
    stopped = fit("stopped", number)
    assert stopped.batches[-1] == (4, 1)
    assert torch.load(path, weights_only=True)["global_step"] == 4
    resumed = fit("stopped", ckpt=path)
    assert [batch for batch in resumed.batches if batch[0] == 4] == [(4, i) for i in range(4)]
    assert {**stopped.losses, **resumed.losses} == whole.losses
    assert [batch for batch in resumed.batches if batch[0] > 4] == [batch for batch in whole.batches if batch[0] > 4]
    same_run(*(torch.load(tmp_path / name / "last.ckpt", weights_only=True) for name in ("whole", "stopped")), 8)


def test_a_signal_in_the_last_validation_leaves_the_checkpoint_before_it(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    trainer = quiet_trainer(
        max_steps=4, val_check_interval=2, num_sanity_val_steps=0, enable_checkpointing=True,
        callbacks=[SignalInValidation(signal.SIGTERM), LastCheckpoint(str(tmp_path))],
    )  # fmt: skip
    with pytest.raises(SIGTERMException):
        trainer.fit(tiny_ijepa(), shapes(num_val=64))
    assert torch.load(tmp_path / "last.ckpt", weights_only=True)["global_step"] == 2


class SignalAtTheEnd(Callback):
    def on_train_end(self, *_: Any) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)


def test_a_signal_after_the_last_step_goes_to_the_users_handler_when_the_run_is_over(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    saved: list[int] = []
    path = tmp_path / "last.ckpt"
    before = signal.signal(signal.SIGUSR1, lambda *_: saved.append(torch.load(path, weights_only=True)["global_step"]))
    try:
        trainer = quiet_trainer(
            max_steps=2, enable_checkpointing=True, callbacks=[SignalAtTheEnd(), LastCheckpoint(str(tmp_path))]
        )
        trainer.fit(tiny_ijepa(), shapes())
        assert saved == [2]
        os.kill(os.getpid(), signal.SIGUSR1)
        assert saved == [2, 2]
    finally:
        signal.signal(signal.SIGUSR1, before)
