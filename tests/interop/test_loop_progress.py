"""The state of Lightning's fit loop, made without a run, and that of a run."""

from typing import Any

import pytest
from lightning.pytorch.demos.boring_classes import BoringModel

from jepa_lightning.interop.loop_progress import fit_loop_after


def keys(node: Any) -> Any:
    return {name: keys(value) for name, value in node.items()} if isinstance(node, dict) else None


@pytest.mark.parametrize(("epochs", "steps"), [(1, 3), (2, 4)])
def test_it_is_that_of_a_run_at_the_end_of_an_epoch(epochs: int, steps: int, quiet_trainer: Any) -> None:
    each = steps // epochs
    trainer = quiet_trainer(max_epochs=epochs, limit_train_batches=each, limit_val_batches=0)
    trainer.fit(BoringModel())
    saved, made = trainer.fit_loop.state_dict(), fit_loop_after(epochs, steps)
    assert set(made) <= set(saved)
    for name in ("epoch_loop.state_dict", "epoch_loop.batch_progress", "epoch_loop.scheduler_progress"):
        theirs = saved[name]
        if name == "epoch_loop.scheduler_progress":  # a step of the schedule for each step of the optimizer
            assert keys(made[name]) == keys(theirs)
        else:
            assert made[name] == theirs
    name = "epoch_loop.automatic_optimization.optim_progress"
    assert made[name]["optimizer"] == saved[name]["optimizer"]
    # a checkpoint is saved before the loop counts the epoch as completed
    done = {**saved["epoch_progress"]["total"], "completed": epochs - 1}
    assert made["epoch_progress"] == {"total": done, "current": done}


def test_steps_of_an_epoch_are_those_of_all_by_their_number() -> None:
    batches = fit_loop_after(4, 12)["epoch_loop.batch_progress"]
    assert set(batches["total"].values()) == {12}
    assert set(batches["current"].values()) == {3}
    assert batches["is_last_batch"]
