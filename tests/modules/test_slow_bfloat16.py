from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning.modules import slow_bfloat16

Build = Callable[..., Any]


def said(module: Any, trainer: Any, data: Any, recwarn: pytest.WarningsRecorder) -> list[str]:
    recwarn.clear()
    trainer.fit(module, data)
    return [text for each in recwarn if "in bfloat16 than in float32" in (text := str(each.message))]


SLOW = {torch.bfloat16: 0.05, torch.float32: 0.001}
QUICK = {torch.bfloat16: 0.001, torch.float32: 0.002}


@pytest.mark.parametrize(
    ("precision", "optimizer", "seconds", "expected"),
    [
        ("bf16-mixed", "adamw", SLOW, "and precision bf16-mixed computes in it: set --trainer.precision 32-true."),
        ("32-true", "adamuon", SLOW, "and optimizer adamuon computes in it: set --model.optimizer adamw."),
        ("bf16-mixed", "muon", SLOW, "in it: set --trainer.precision 32-true and --model.optimizer adamw."),
        ("bf16-mixed", "adamw", QUICK, None),
        ("32-true", "adamw", SLOW, None),
    ],
)
def test_a_run_in_bfloat16_is_told_where_it_is_slow(
    tiny_ijepa: Build,
    shapes: Build,
    quiet_trainer: Build,
    recwarn: pytest.WarningsRecorder,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
    optimizer: str,
    seconds: dict[torch.dtype, float],
    expected: str | None,
) -> None:
    monkeypatch.setattr(slow_bfloat16, "_seconds", seconds.__getitem__)
    trainer = quiet_trainer(max_steps=1, limit_val_batches=0, num_sanity_val_steps=0, precision=precision)
    found = said(tiny_ijepa(optimizer=optimizer), trainer, shapes(batch_size=8), recwarn)
    assert len(found) == (expected is not None)
    assert expected is None or ("50 times slower" in found[0] and found[0].endswith(expected))


def test_the_time_of_a_product_is_measured() -> None:
    assert 0 < slow_bfloat16._seconds(torch.float32) < 1
