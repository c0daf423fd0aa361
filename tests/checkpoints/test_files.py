from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.checkpoints import CheckpointFiles

Build = Callable[..., Any]


def checkpoint(weight: torch.Tensor) -> dict[str, Any]:
    return {"state_dict": {"a": weight}, "pytorch-lightning_version": "2.6.0"}


def test_a_file_is_written_beside_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "runs" / "last.ckpt"
    files = CheckpointFiles()
    files.save_checkpoint(checkpoint(torch.ones(2)), path)
    real, seen = torch.save, []

    def watched(content: Any, file: Any) -> None:
        seen.append((Path(file.name), files.load_checkpoint(path)["state_dict"]["a"]))
        real(content, file)

    monkeypatch.setattr(torch, "save", watched)
    files.save_checkpoint(checkpoint(torch.zeros(2)), str(path))
    ((place, old),) = seen
    assert place == path.parent / ".unfinished" / "last.ckpt"
    assert torch.equal(old, torch.ones(2))
    assert torch.equal(files.load_checkpoint(path, weights_only=True)["state_dict"]["a"], torch.zeros(2))


def test_is_a_plugin_of_the_trainer(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path) -> None:
    trainer = quiet_trainer(max_steps=1, plugins=[CheckpointFiles()])
    trainer.fit(tiny_ijepa(), shapes())
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    trainer = quiet_trainer(max_steps=2, plugins=[CheckpointFiles()])
    trainer.fit(tiny_ijepa(), shapes(), ckpt_path=tmp_path / "last.ckpt")
    assert trainer.global_step == 2
