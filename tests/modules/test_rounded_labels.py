from collections.abc import Callable
from typing import Any

import pytest
import torch

from jepa_lightning.modules.rounded_labels import warn_of_rounded_labels
from jepa_lightning.types import Batch

IMAGES = torch.zeros(2, 3, 4, 4)


@pytest.mark.parametrize(
    ("labels", "extras", "expected"),
    [
        (
            torch.ones(2, dtype=torch.bfloat16),
            {},
            r"^label: these values of the batch are rounded to two or three digits",
        ),
        ({"place": torch.ones(2).half(), "shape": torch.zeros(2).long()}, {}, r"^place: these values"),
        (None, {"actions": torch.ones(2, 3).bfloat16(), "states": torch.ones(2, 3).bfloat16()}, "^actions, states: "),
    ],
)
def test_values_of_half_precision_are_named(labels: Any, extras: Any, expected: str) -> None:
    with pytest.warns(UserWarning, match=expected):
        warn_of_rounded_labels(Batch([IMAGES], labels=labels, extras=extras))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "labels", [None, torch.ones(2), torch.zeros(2).long(), {"a": torch.ones(2), "b": torch.ones(2)}]
)
def test_others_are_not(labels: Any) -> None:
    warn_of_rounded_labels(Batch([IMAGES.bfloat16()], labels=labels))


@pytest.mark.parametrize(("precision", "warned"), [("bf16-true", 1), ("bf16-mixed", 0)])
def test_a_run_is_told_once(
    tiny_world: Callable[..., Any], world_batch: Callable[..., Any], quiet_trainer: Callable[..., Any],
    recwarn: pytest.WarningsRecorder, precision: str, warned: int,
) -> None:  # fmt: skip
    module = tiny_world()
    loader = torch.utils.data.DataLoader([world_batch(module)] * 2, batch_size=None)
    quiet_trainer(max_steps=2, precision=precision).fit(module, loader)
    found = [text for each in recwarn if "are rounded to" in (text := str(each.message))]
    assert len(found) == warned
    assert all("--trainer.precision bf16-mixed" in text and text.startswith("actions") for text in found)
