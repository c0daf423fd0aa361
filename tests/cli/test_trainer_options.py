"""Ranges of the Trainer's options on the command line."""

import inspect
from typing import Any

import pytest
from lightning.pytorch import Trainer

from jepa_lightning.cli.trainer_options import TRAINER_OPTIONS, check_trainer
from jepa_lightning.options import check_values


def test_the_options_are_those_of_the_trainer_and_their_defaults_are_in_range() -> None:
    signature = inspect.signature(Trainer.__init__).parameters
    assert set(TRAINER_OPTIONS) <= set(signature)
    check_values("Trainer", TRAINER_OPTIONS, {name: signature[name].default for name in TRAINER_OPTIONS})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("accumulate_grad_batches", 0),
        ("accumulate_grad_batches", -1),
        ("check_val_every_n_epoch", 0),
        ("gradient_clip_val", -1.0),
        ("gradient_clip_val", float("nan")),
        ("limit_train_batches", -1),
        ("limit_val_batches", 1.5),
        ("log_every_n_steps", -1),
        ("max_steps", -2),
        ("max_steps", 10**30),
        ("max_epochs", 10**30),
        ("devices", 10**30),
        ("fast_dev_run", 10**30),
        ("num_nodes", 0),
        ("num_sanity_val_steps", -2),
        ("val_check_interval", 10**30),
    ],
)
def test_what_lightning_would_take_is_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^Trainer: {option}=.* is out of range"):
        check_values("Trainer", TRAINER_OPTIONS, {option: value})


@pytest.mark.parametrize("option", ["max_time", "val_check_interval"])
@pytest.mark.parametrize("value", ["", "text", "12:00", {}, {"hour": 1}, {"hours": 1, 3: 2}])
def test_durations_that_lightning_does_not_read_are_refused(option: str, value: Any) -> None:
    with pytest.raises(ValueError, match=rf"^Trainer: {option}=.* is no duration"):
        check_trainer({option: value})


@pytest.mark.parametrize("value", ["00:12:00:00", {"hours": 12}, {"days": 1, "minutes": 0.5}, None])
def test_durations_that_lightning_reads_are_taken(value: Any) -> None:
    check_trainer({"max_time": value})
    Trainer(max_time=value, accelerator="cpu", logger=False)
