import math

import pytest

from jepa_lightning.optim.lengths import warmup_steps


@pytest.mark.parametrize(
    ("warmup", "steps"),
    [
        (0, 0),
        (500, 500),
        (0.1, 100),
        (0.29, 290),
        (0.0, 0),
        ("40 epochs", 500),
        ("1 epoch", 12),
        (".5 epochs", 6),
        ("500 steps", 500),
        ("10%", 100),
        (" 2.5 % ", 25),
    ],
)
def test_warmup_as_people_write_it(warmup, steps):
    assert warmup_steps(warmup, total_steps=1000, steps_per_epoch=12.5) == steps


@pytest.mark.parametrize("warmup", [-1, 1.0, 10.0, -0.1, math.nan, "40", "epochs", "40 hours", "-3 epochs", ""])
def test_warmup_that_is_none_of_these_is_named(warmup):
    with pytest.raises(ValueError, match="is not understood: give whole steps"):
        warmup_steps(warmup, total_steps=1000, steps_per_epoch=10)


@pytest.mark.parametrize(
    ("warmup", "total", "epoch"), [("10%", math.inf, 5), (0.1, math.inf, 5), ("2 epochs", 9, math.inf)]
)
def test_warmup_in_units_of_unknown_length_is_named(warmup, total, epoch):
    with pytest.raises(ValueError, match=r"cannot be turned into steps.* give the warmup in steps"):
        warmup_steps(warmup, total, epoch)
