import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.demos.boring_classes import BoringModel
from torch.utils.data import DataLoader

from jepa_lightning.callbacks import OnlineKNN, OnlineLinearProbe, ProbeReport, Summary
from jepa_lightning.callbacks.probes.base import OnlineProbe
from jepa_lightning.callbacks.summary import _table

Build = Callable[..., Any]


class Known(OnlineProbe):
    """Two validations with known accuracies."""

    name = "linear"
    ready = True

    def scores(self, features: Any) -> Any:
        raise AssertionError

    def on_validation_epoch_start(self, *_: Any) -> None: ...

    def on_validation_batch_end(self, *_: Any) -> None: ...

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        first = not self.best
        for name, value in {"val/linear": 0.5, "val/linear_shape": 0.5, "val/linear_color": 0.25}.items():
            value += 0.125 * first
            pl_module.log(name, value)
            self.best[name] = max(value, self.best.get(name, 0))


class Measures(Callback):
    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, *_: Any) -> None:
        pl_module.log_dict({"collapse/rank": 12.5, "collapse/energy_gap": 0.25})


def printed(capsys: Any, model: str = "IJEPA") -> list[str]:
    lines = capsys.readouterr().out.splitlines()
    return lines[next(i for i, line in enumerate(lines) if line.startswith(model)) :]


def test_says_what_others_have_found(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, monkeypatch: Any, capsys: Any
) -> None:
    report = ProbeReport()
    report.accuracy = {"raw pixels": {"shape": 0.1, "color": 0.2}, "trained": {"shape": 0.99, "color": 0.4}}
    monkeypatch.setattr(ProbeReport, "on_train_end", lambda *_: None)
    callbacks = [Summary(), Known(), report, Measures()]
    quiet_trainer(max_epochs=2, callbacks=callbacks).fit(tiny_ijepa(), shapes())
    head, columns, shape, color, measures = printed(capsys)
    assert re.fullmatch(r"IJEPA on ShapesDataModule: 8 steps in \d\.\d min", head)
    assert columns.split("  ")[1:] == ["accuracy, %", "raw pixels", "trained", "linear best", "linear last"]
    assert shape.split() == ["shape", "10.0", "99.0", "62.5", "50.0"]
    assert color.split() == ["color", "20.0", "40.0", "37.5", "25.0"]
    assert measures == "  rank (RankMe) 12.5, energy gap 0.25"
    assert len(columns) == len(shape) == len(color)


def test_places_and_commands(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    best = ModelCheckpoint(monitor="val/loss", filename="best")
    options = {"enable_checkpointing": True, "logger": True, "max_epochs": 1, "log_every_n_steps": 1}
    quiet_trainer(callbacks=[ModelCheckpoint(filename="other"), best, Summary()], **options).fit(tiny_ijepa(), shapes())
    run = "lightning_logs/version_0"
    expected = [
        "  no probe has found labels: there is no accuracy to report",
        f"  logs         {run}",
        f"  checkpoint   {run}/checkpoints/best.ckpt (best val/loss: {float(best.best_model_score):.3f})",
        f"  checkpoint   {run}/checkpoints/other.ckpt",
        "  next:",
        "    tensorboard --logdir lightning_logs",
        f'    IJEPA.load_from_checkpoint("{run}/checkpoints/best.ckpt")',
    ]
    assert printed(capsys)[1:] == expected
    # a run from the command line has its configuration there
    Path("lightning_logs/version_1").mkdir()
    Path("lightning_logs/version_1/config.yaml").touch()
    monkeypatch.setattr(Trainer, "log_dir", "lightning_logs/version_1")
    quiet_trainer(callbacks=[Summary()], **options).fit(tiny_ijepa(), shapes())
    assert any(
        line.startswith("    jepa-lightning predict --config lightning_logs/version_1/config.yaml --ckpt_path ")
        for line in printed(capsys)
    )


def test_a_module_of_another_kind_is_not_sent_to_commands_that_refuse_it(
    quiet_trainer: Build, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("lightning_logs/version_0").mkdir(parents=True)
    Path("lightning_logs/version_0/config.yaml").touch()
    monkeypatch.setattr(Trainer, "log_dir", "lightning_logs/version_0")
    trainer = quiet_trainer(callbacks=[Summary()], enable_checkpointing=True, logger=True, max_steps=1)
    trainer.fit(BoringModel())
    lines = printed(capsys, "BoringModel")
    assert any(line.startswith('    BoringModel.load_from_checkpoint("lightning_logs/version_') for line in lines)
    assert not any("jepa-lightning" in line for line in lines)


@pytest.mark.parametrize("validations", [0, 1])
def test_says_why_there_is_no_accuracy(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, capsys: Any, validations: int
) -> None:
    callbacks = [OnlineKNN(every_n_epochs=5), Summary()]
    trainer = quiet_trainer(max_epochs=1, max_steps=4 if validations else 2, callbacks=callbacks)
    trainer.fit(tiny_ijepa(), shapes())
    expected = (
        "  no probe was ready at a validation: there is no accuracy to report"
        if validations
        else "  no validation has run: the probes have not measured (train longer, or set val_check_interval)"
    )
    assert printed(capsys)[1] == expected


def test_resumed_and_finished_runs(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "run.ckpt"
    trainer = quiet_trainer(max_steps=3, callbacks=[Summary()])
    trainer.fit(tiny_ijepa(), shapes())
    trainer.save_checkpoint(path)
    for steps, text in ((5, "steps 4 to 5 in 0."), (3, "nothing left to train after step 3")):
        capsys.readouterr()
        quiet_trainer(max_steps=steps, callbacks=[Summary()]).fit(tiny_ijepa(), shapes(), ckpt_path=path)
        assert printed(capsys)[0].startswith(f"IJEPA on ShapesDataModule: {text}")


def test_without_a_data_module(tiny_ijepa: Build, quiet_trainer: Build, capsys: Any) -> None:
    model = tiny_ijepa()
    loader = DataLoader([torch.rand(3, 32, 32)] * 8, batch_size=4, collate_fn=model.pipeline().collate)
    quiet_trainer(max_steps=1, callbacks=[Summary()]).fit(model, loader)
    assert printed(capsys)[0].startswith("IJEPA: 1 steps in 0.")


def test_fits_on_one_screen(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, capsys: Any) -> None:
    callbacks = [Summary(), OnlineLinearProbe(), OnlineKNN(), ProbeReport(20)]
    quiet_trainer(max_epochs=1, callbacks=callbacks).fit(tiny_ijepa(), shapes())
    lines = printed(capsys)
    assert len(lines) <= 24
    assert max(len(line) for line in lines) <= 120


@pytest.mark.parametrize("stage", ["validate", "predict"])
def test_speaks_at_the_end_of_fit_only(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, capsys: Any, stage: str
) -> None:
    getattr(quiet_trainer(callbacks=[Summary()]), stage)(tiny_ijepa(), shapes())
    assert " steps " not in capsys.readouterr().out


def test_kinds_of_labels_are_in_the_head_of_the_table() -> None:
    rows = {name: {"linear best": 0.5} for name in ("shape", "angle_r2", "tags_map")}
    assert _table(rows)[0].startswith("  accuracy, R2, mAP, %")
