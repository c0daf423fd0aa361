import shlex
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.demos.boring_classes import BoringModel
from lightning.pytorch.loggers import TensorBoardLogger

from jepa_lightning.callbacks import OnlineKNN, OnlineLinearProbe, ProbeReport
from jepa_lightning.callbacks.results import accuracies, data_class, next_commands, places, short

Build = Callable[..., Trainer]


def found(*callbacks: Any, **metrics: float) -> dict[str, dict[str, float]]:
    logged = {name: torch.tensor(value) for name, value in metrics.items()}
    trainer: Any = SimpleNamespace(callbacks=[*callbacks], callback_metrics=logged)
    return accuracies(trainer)


def linear(*ends: str) -> OnlineLinearProbe:
    probe = OnlineLinearProbe()
    probe.best.update({f"val/linear{end}": 0.5 for end in ends})
    return probe


def saver(best: str, score: float | None = None, monitor: str | None = None, last: str = "") -> ModelCheckpoint:
    """As it is after a run."""
    made = ModelCheckpoint(monitor=monitor)
    made.best_model_path, made.last_model_path = best, last
    made.best_model_score = None if score is None else torch.tensor(score)
    return made


@pytest.fixture
def trainer(quiet_trainer: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """A Trainer in the working folder."""
    monkeypatch.chdir(tmp_path)
    return lambda *callbacks, **options: quiet_trainer(
        **{"callbacks": [*callbacks], "enable_checkpointing": True, **options}
    )


def test_values_and_multi_hot_labels_have_rows_of_their_own_and_errors_none() -> None:
    ends = ("", "_shape", "_r2", "_mae", "_angle_r2", "_angle_mae", "_map", "_tags_map", "_angle_r2/lr=1", "_x/lr=1")
    assert list(found(linear(*ends))) == ["shape", "angle_r2", "tags_map"]
    assert list(found(linear("_r2", "_mae"))) == ["r2"]


def test_the_last_value_stands_beside_the_best_one_where_there_is_one() -> None:
    probes = linear("", "_shape"), OnlineKNN()
    assert found(*probes, **{"val/linear_shape": 0.25, "val/knn": 0.75}) == {
        "shape": {"linear best": 0.5, "linear last": 0.25}
    }
    assert found() == found(ProbeReport(), OnlineKNN()) == {}


def test_a_report_that_has_a_name_of_its_own_says_it() -> None:
    plain, own = ProbeReport(), ProbeReport(name="tokens")
    plain.accuracy = {"raw pixels": {"": 0.125}}
    own.accuracy = {"raw pixels": {"": 0.5}, "trained": {"": 0.75}}
    assert found(plain, own) == {"": {"raw pixels": 0.125, "tokens raw pixels": 0.5, "tokens trained": 0.75}}


def test_the_best_checkpoint_comes_first_and_each_is_named_once(trainer: Build) -> None:
    regular, best = (
        saver("a/regular.ckpt", last="a/last.ckpt"),
        saver("a/best.ckpt", 0.12345, "val/loss", "a/last.ckpt"),
    )
    assert places(trainer(regular, best)) == [
        ("checkpoint", "a/best.ckpt (best val/loss: 0.123)"),
        ("checkpoint", "a/last.ckpt"),
        ("checkpoint", "a/regular.ckpt"),
    ]
    assert places(trainer(saver(""))) == []


def test_a_run_that_was_resumed_in_another_folder_has_a_best_checkpoint_without_a_score(trainer: Build) -> None:
    former = saver("a/best.ckpt", 0.5, "val/loss")
    resumed = ModelCheckpoint("elsewhere", monitor="val/loss")
    with pytest.warns(UserWarning, match="The dirpath has changed"):
        resumed.load_state_dict({**former.state_dict(), "dirpath": "a"})
    assert places(trainer(resumed)) == [("checkpoint", "a/best.ckpt")]


def test_the_folder_of_a_run_from_the_command_line_is_not_named_twice(trainer: Build, tmp_path: Path) -> None:
    config: Any = SaveConfigCallback(None, None)  # type: ignore[arg-type]
    logger = TensorBoardLogger(tmp_path, "runs", 0)
    assert places(trainer(config, logger=logger)) == [("run", "runs/version_0")]
    assert places(trainer(logger=logger)) == [("logs", "runs/version_0")]
    both = places(trainer(config, logger=[logger, TensorBoardLogger("/elsewhere", "runs", 0)]))
    assert both == [("run", "runs/version_0"), ("logs", "/elsewhere/runs/version_0")]


def test_a_run_without_a_folder_has_neither_a_place_nor_a_configuration(
    trainer: Build, tiny_ijepa: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("config.yaml").touch()  # of something else
    monkeypatch.setattr(Trainer, "log_dir", None)
    config: Any = SaveConfigCallback(None, None)  # type: ignore[arg-type]
    run = trainer(config, saver("a.ckpt"))
    assert places(run) == [("checkpoint", "a.ckpt")]
    assert next_commands(run, tiny_ijepa()) == ['IJEPA.load_from_checkpoint("a.ckpt")']


@pytest.mark.parametrize("folder", ["runs", "my runs; it's"])
def test_commands_can_be_pasted_whatever_the_folder_is_called(trainer: Build, tiny_ijepa: Any, folder: str) -> None:
    logger = TensorBoardLogger(folder, "", 0)
    path = f"{folder}/version_0/checkpoints/best.ckpt"
    run = trainer(SaveConfigCallback(None, None), saver(path), logger=logger)  # type: ignore[arg-type]
    board, validate, predict = (shlex.split(command) for command in next_commands(run, tiny_ijepa()))
    assert board == ["tensorboard", "--logdir", folder]
    options = ["--config", f"{folder}/version_0/config.yaml", "--ckpt_path", path]
    assert validate == ["jepa-lightning", "validate", *options]
    assert predict == ["jepa-lightning", "predict", *options]


@pytest.mark.parametrize("path", ["a.ckpt", 'the "best".ckpt', "C:\\new\\größe.ckpt"])
def test_a_line_of_python_reads_the_very_file(trainer: Build, path: str) -> None:
    (line,) = next_commands(trainer(saver(path)), BoringModel())
    assert line.startswith("BoringModel.load_from_checkpoint(")
    assert eval(line.removeprefix("BoringModel.load_from_checkpoint")) == path


def test_nothing_that_was_saved_has_no_command(trainer: Build) -> None:
    assert next_commands(trainer(enable_checkpointing=False), BoringModel()) == []


def test_paths_are_short_below_the_working_folder_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    assert short(tmp_path / "here" / "a" / "b.ckpt") == "a/b.ckpt"
    assert short(tmp_path / "b.ckpt") == str(tmp_path / "b.ckpt")
    for address in ("s3://bucket/run/a.ckpt", "memory://run"):
        assert short(address) == address


def test_loaders_that_are_given_have_no_data_module(quiet_trainer: Build, shapes: Any) -> None:
    trainer = quiet_trainer()
    assert data_class(trainer) == ""
    trainer.datamodule = shapes()  # type: ignore[attr-defined]
    assert data_class(trainer) == "ShapesDataModule"
