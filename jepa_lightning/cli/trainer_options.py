"""Ranges of the Trainer's options that Lightning itself does not check, or checks late."""

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any

from jepa_lightning.options import (
    Interval,
    NonNegativeInt,
    PositiveInt,
    Share,
    check_values,
)

MinusOneOrMore = Annotated[int, Interval("[-1, 1e12]")]  # -1: no limit
Batches = NonNegativeInt | Share | None  # a number, or a share of all

TRAINER_OPTIONS: dict[str, Any] = {
    "accumulate_grad_batches": PositiveInt,
    "check_val_every_n_epoch": PositiveInt | None,
    "devices": Annotated[int, Interval("[-1, 1e6]")] | str | list[int],
    "fast_dev_run": NonNegativeInt | bool,
    "gradient_clip_val": Annotated[float, Interval("[0, 1e12]")] | None,  # a huge one clips nothing
    "limit_predict_batches": Batches,
    "limit_test_batches": Batches,
    "limit_train_batches": Batches,
    "limit_val_batches": Batches,
    "log_every_n_steps": NonNegativeInt | None,
    "max_epochs": MinusOneOrMore | None,
    "max_steps": MinusOneOrMore,
    "min_epochs": NonNegativeInt | None,
    "min_steps": NonNegativeInt | None,
    "num_nodes": PositiveInt,
    "num_sanity_val_steps": MinusOneOrMore | None,
    "overfit_batches": NonNegativeInt | Share,
    "reload_dataloaders_every_n_epochs": NonNegativeInt,
    "val_check_interval": NonNegativeInt | Share | str | Mapping[str, Any] | timedelta | None,
}
DURATIONS = ("max_time", "val_check_interval")
UNITS = ("weeks", "days", "hours", "minutes", "seconds", "milliseconds", "microseconds")


def check_trainer(options: Mapping[str, Any]) -> None:
    """Checks the Trainer's options.

    Args:
        options: by name.

    Raises:
        ValueError: if a value is out of range, or a duration is not written as Lightning reads it.
    """
    check_values("Trainer", TRAINER_OPTIONS, options)
    for option in DURATIONS:
        value = options.get(option)
        units = isinstance(value, Mapping) and bool(value) and set(value) <= set(UNITS)
        clock = isinstance(value, str) and re.fullmatch(r"\d+:\d\d:\d\d:\d\d", value.strip())
        if isinstance(value, (str, Mapping)) and not (units or clock):
            raise ValueError(
                f"Trainer: {option}={value!r} is no duration: write days, hours, minutes and seconds as in "
                "00:12:00:00, or as in {hours: 12}."
            )
