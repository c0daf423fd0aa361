from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback

from jepa_lightning.callbacks import LastCheckpoint

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
    ],
)
def test_follows_validations_and_ends_at_the_end(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, options: Any, steps: list[int]
) -> None:
    path = tmp_path / "last.ckpt"
    watch = Steps(path)
    trainer = quiet_trainer(
        callbacks=[watch, LastCheckpoint(str(tmp_path))], enable_checkpointing=True, num_sanity_val_steps=0, **options
    )
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
