import os
import subprocess
import sys
from collections.abc import Callable, Iterator
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


OWN = """
from torch import nn

from jepa_lightning import IJEPA, WorldModel

class Net(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
        self.width, self.grid_size, self.in_channels = width, (1, 1), 2
        self.linear = nn.Linear(2 * 16 * 16, width)

    def forward(self, x):
        return self.linear(x.flatten(1))[:, None]

class Own(WorldModel):
    pass

class Other(IJEPA):
    pass
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A checkpoint of a class and an encoder that no other process has imported."""
    (tmp_path / "my_worlds.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    code = """
import my_worlds
from lightning.pytorch import Trainer
model = my_worlds.Own({"class_path": "my_worlds.Net", "init_args": {"width": 6}}, image_size=16)
trainer = Trainer(logger=False, enable_checkpointing=False)
trainer.strategy.connect(model)
model.trainer = trainer
trainer.save_checkpoint("own.ckpt", weights_only=True)
"""
    path = os.pathsep.join([str(tmp_path), *sys.path])
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, check=True)
    yield str(tmp_path / "own.ckpt")
    sys.modules.pop("my_worlds", None)


def test_classes_of_ones_own_are_imported_when_they_are_named(own: str) -> None:
    with pytest.raises(ValueError, match=r"first \(--encoder my_worlds\.Net of plan and evaluate\)"):
        load_world_model(own, "cpu")
    model = load_world_model(own, "cpu", "my_worlds.Own", "my_worlds.Net")
    assert type(model).__name__ == "Own"
    assert (type(model.encoder).__name__, model.width) == ("Net", 6)
    with pytest.raises(UsageError, match=r"--model my_worlds\.Other is no WorldModel"):
        load_world_model(own, "cpu", "my_worlds.Other")
