"""Ranges of the Trainer's options that Lightning itself does not check, or checks late."""

from typing import Annotated, Any

from jepa_lightning.options import (
    Interval,
    NonNegativeInt,
    PositiveInt,
    Share,
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
}
