from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import WorldModel
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.planning.checkpoint import load_world_model, step_of


def test_a_world_model_comes_ready_to_plan_with(checkpoint: Path) -> None:
    model = load_world_model(str(checkpoint), "cpu")
    assert isinstance(model, WorldModel)
    assert not model.training
    assert not any(weight.requires_grad for weight in model.parameters())
    assert step_of(checkpoint) == 0


def test_a_device_that_is_not_there_is_one_line(checkpoint: Path) -> None:
    with pytest.raises(UsageError, match=r"^--device gpu is not there: give cpu, cuda, cuda:1 or auto"):
        load_world_model(str(checkpoint), "gpu")


def test_a_checkpoint_of_another_method_is_refused(other_checkpoint: Path) -> None:
    with pytest.raises(ValueError, match="IJEPA"):
        load_world_model(str(other_checkpoint), "cpu")


def test_the_step_is_that_of_the_run(save: Callable[..., Path], checkpoint: Path) -> None:
    content: dict[str, Any] = torch.load(checkpoint, weights_only=True)
    torch.save({**content, "global_step": 42}, checkpoint)
    assert step_of(checkpoint) == 42
