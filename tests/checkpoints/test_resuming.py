from typing import Any

import pytest
import torch

from jepa_lightning.checkpoints import OPTIMIZERS, check_resumable

GOOD: dict[str, Any] = {"state_dict": {}, "optimizer_states": [{}], "lr_schedulers": [{}], "loops": {}}


def optimizer(kind: Any = torch.optim.AdamW) -> torch.optim.Optimizer:
    found: torch.optim.Optimizer = kind([torch.zeros(1, requires_grad=True)])
    return found


def test_a_whole_one_with_the_same_optimizer() -> None:
    check_resumable(GOOD, [optimizer()])
    check_resumable({**GOOD, OPTIMIZERS: ["AdamW"]}, [optimizer()])
    check_resumable({"lr_schedulers": [], "loops": {}}, [optimizer()])  # beside shards, which hold the states


@pytest.mark.parametrize(("name", "what"), [("optimizer_states", "optimizers"), ("lr_schedulers", "schedules")])
def test_states_that_are_not_there_are_not_begun_in_silence(name: str, what: str) -> None:
    with pytest.raises(ValueError, match=f"it holds states of 0 {what}, and this run has 1. To start a new run"):
        check_resumable({**GOOD, name: []}, [optimizer()], 1)


@pytest.mark.parametrize("name", ["optimizer_states", "lr_schedulers", "loops"])
def test_weights_alone_are_not_resumed(name: str) -> None:
    found = {key: value for key, value in GOOD.items() if key != name}
    with pytest.raises(ValueError, match=f"it holds weights, and no {name}. To start a new run"):
        check_resumable(found, [optimizer()])


def test_another_optimizer_is_named_with_that_of_the_checkpoint() -> None:
    with pytest.raises(ValueError, match="with the optimizer AdamW, and this run has SGD: resume with"):
        check_resumable({**GOOD, OPTIMIZERS: ["AdamW"]}, [optimizer(torch.optim.SGD)])
