"""A run that leaves in the form of the reference and comes back takes the same next steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader

from jepa_lightning import IJEPA
from jepa_lightning.cli.main import main
from jepa_lightning.types import Batch


def batches(module: IJEPA, make_batch: Any) -> DataLoader[Batch]:
    return DataLoader([make_batch(module, 4, seed) for seed in range(3)], batch_size=None)  # type: ignore[arg-type]


def test_the_next_steps_are_those_of_the_run_itself(
    tiny_ijepa: Any, make_batch: Any, quiet_trainer: Any, tmp_path: Path, capsys: Any
) -> None:
    build = {"ema": (0.9, 1.0), "predictor_heads": 3, "lr": 0.01, "warmup": 4}
    module = tiny_ijepa(**build)
    loader = batches(module, make_batch)
    saving = ModelCheckpoint(tmp_path, "{epoch}", save_top_k=-1, every_n_epochs=1)
    quiet_trainer(max_epochs=4, callbacks=[saving], enable_checkpointing=True).fit(module, loader)
    middle = str(tmp_path / "epoch=1.ckpt")
    main(["convert", middle, str(tmp_path / "run.pth.tar"), "--to", "reference"])
    saved = torch.load(tmp_path / "run.pth.tar", weights_only=True)
    assert saved["epoch"] == 2
    assert [len(group["params"]) for group in saved["opt"]["param_groups"]] == [10, 8, 19, 12]
    options = ["--heads", "3", "--predictor_heads", "3"]
    main(["convert", str(tmp_path / "run.pth.tar"), str(tmp_path / "back.ckpt"), "--to", "torch", *options])
    assert "resumes the run" in capsys.readouterr().out
    again = tiny_ijepa(**build)
    trainer = quiet_trainer(max_epochs=4)
    trainer.fit(again, loader, ckpt_path=tmp_path / "back.ckpt")
    assert trainer.global_step == 12
    own, other = module.state_dict(), again.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in own.items())
    first = torch.load(middle, weights_only=True)["state_dict"]
    assert any(not torch.equal(value, own[name]) for name, value in first.items())


def test_an_optimizer_of_other_networks_is_refused(tiny_ijepa: Any, tmp_path: Path, capsys: Any) -> None:
    from jepa_lightning.interop.reference_writer import reference_content

    content = reference_content(tiny_ijepa(predictor_heads=3))
    groups = [{"params": [0, 1], "lr": 0.1}, {"params": [2], "lr": 0.1}]
    content |= {"epoch": 2, "opt": {"state": {0: {"step": 4}}, "param_groups": groups}}
    torch.save(content, tmp_path / "run.pth.tar")
    options = ["--heads", "3", "--predictor_heads", "3"]
    with pytest.raises(SystemExit):
        main(["convert", str(tmp_path / "run.pth.tar"), str(tmp_path / "back.ckpt"), "--to", "torch", *options])
    assert "has groups of [2, 1] parameters" in capsys.readouterr().err
    assert not (tmp_path / "back.ckpt").exists()
