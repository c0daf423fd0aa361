"""Ranges of the Trainer's options on the command line."""

import inspect

import pytest
from lightning.pytorch import Trainer

from jepa_lightning.cli.trainer_options import TRAINER_OPTIONS
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
    ],
)
def test_what_lightning_would_take_is_refused(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"^Trainer: {option}=.* is out of range"):
        check_values("Trainer", TRAINER_OPTIONS, {option: value})
