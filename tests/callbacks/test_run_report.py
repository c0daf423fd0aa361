import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, OnlineLinearProbe, ProbeReport, RunReport, Summary
from jepa_lightning.callbacks.alarms import AlarmBell
from jepa_lightning.report.history import History, read_history

Build = Callable[..., Any]


def recorded(path: Path) -> History:
    history, broken = read_history(path.read_text())
    assert not broken
    return history


def watchers() -> list[Callback]:
    return [OnlineLinearProbe(), OnlineKNN(k=5), CollapseMonitor(every_n_steps=2, memory=32), ProbeReport(32)]


def test_a_script_gets_a_report_with_all_that_was_found(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    report = RunReport()
    trainer = quiet_trainer(max_epochs=2, log_every_n_steps=1, callbacks=[*watchers(), report])
    trainer.fit(tiny_ijepa(), shapes())
    assert report.path == tmp_path / "report.html"
    history = recorded(tmp_path / "history.jsonl")
    assert [step for step, _ in history.values["train/loss"]] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert [step for step, _ in history.values["val/knn_shape"]] == [4, 8]
    assert [step for step, _ in history.values["lr"]] == [*range(1, 9)]
    metrics = trainer.callback_metrics
    for name in ("train/loss", "val/knn_shape", "collapse/rank"):
        assert history.values[name][-1][1] == pytest.approx(float(metrics[name]))
    assert {"raw pixels", "random init", "trained", "linear best", "knn last"} <= history.rows["shape"].keys()
    assert history.rows["shape"]["trained"] == trainer.callbacks[3].accuracy["trained"]["shape"]
    assert history.end is not None
    assert (history.end.step, history.end.reason) == (8, "")
    text = report.path.read_text()
    assert "IJEPA on ShapesDataModule" in text
    assert "image_size" in text  # options, as a script leaves no configuration


def test_values_are_those_that_tensorboard_has(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    callbacks = [OnlineKNN(k=5), CollapseMonitor(every_n_steps=3, memory=32), LearningRateMonitor(), RunReport()]
    logger = TensorBoardLogger(tmp_path)
    trainer = quiet_trainer(max_epochs=3, log_every_n_steps=3, callbacks=callbacks, logger=logger)
    trainer.fit(tiny_ijepa(), shapes())
    history = recorded(Path(logger.log_dir) / "history.jsonl")
    events = EventAccumulator(logger.log_dir).Reload()
    names = [name for name in events.Tags()["scalars"] if name.startswith(("train/", "val/", "collapse/"))]
    assert {"train/loss", "val/knn", "collapse/energy"} <= {*names}
    for name in names:
        theirs = [(event.step + 1, event.value) for event in events.Scalars(name)]
        ours = history.values[name] if name.startswith("val/") else [p for p in history.values[name] if p[0] % 3 == 0]
        # the monitor's first measures are taken at a step that is not logged; a count of alarms need not change
        theirs = [point for point in theirs if point[0] % 3 == 0 or name.startswith("val/")]
        if name != "collapse/alarm":
            assert ours == [(step, pytest.approx(value, rel=1e-6)) for step, value in theirs], name


def test_what_was_measured_between_records_is_there_at_the_end(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    callbacks = [OnlineKNN(k=5), CollapseMonitor(every_n_steps=4, memory=32), RunReport()]
    trainer = quiet_trainer(max_steps=6, log_every_n_steps=50, callbacks=callbacks)
    trainer.fit(tiny_ijepa(), shapes())
    history = recorded(tmp_path / "history.jsonl")
    assert history.values["collapse/rank"] == [(6, float(trainer.callback_metrics["collapse/rank"]))]
    assert history.values["train/loss"] == [(6, float(trainer.callback_metrics["train/loss"]))]
    assert [step for step, _ in history.values["val/knn"]] == [4]


def test_weights_are_the_same_with_and_without_it(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    weights = []
    for callbacks in ([RunReport()], []):
        torch.manual_seed(0)
        module = tiny_ijepa(drop_path=0.5)
        quiet_trainer(max_steps=4, log_every_n_steps=1, callbacks=callbacks).fit(module, shapes())
        weights.append({name: value.clone() for name, value in module.state_dict().items()})
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[1])


class Stop(Callback):
    """Ends a run at a step as a person or a fault does."""

    def __init__(self, error: BaseException, step: int) -> None:
        self.error, self.step = error, step

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise self.error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), SystemExit, "KeyboardInterrupt"),
        (ValueError("no <more>\ndata"), ValueError, "ValueError: no <more> data"),
    ],
)
def test_a_run_that_ends_early_has_a_report(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, error: Any, code: Any, said: str
) -> None:
    trainer = quiet_trainer(max_steps=8, log_every_n_steps=1, callbacks=[RunReport(), Stop(error, 3)])
    with pytest.raises(code):
        trainer.fit(tiny_ijepa(), shapes())
    history = recorded(tmp_path / "history.jsonl")
    assert history.end is not None
    assert (history.end.step, history.end.reason) == (3, said)
    assert "ended early at step 3" in (tmp_path / "report.html").read_text()


def test_a_resumed_run_adds_to_the_record(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    first = quiet_trainer(max_steps=4, log_every_n_steps=1, callbacks=[RunReport()])
    first.fit(tiny_ijepa(), shapes())
    first.save_checkpoint(tmp_path / "run.ckpt")
    again = quiet_trainer(max_steps=6, log_every_n_steps=1, callbacks=[RunReport()])
    again.fit(tiny_ijepa(), shapes(), ckpt_path=tmp_path / "run.ckpt")
    history = recorded(tmp_path / "history.jsonl")
    assert [step for step, _ in history.values["train/loss"]] == [1, 2, 3, 4, 5, 6]
    assert [start.step for start in history.starts] == [0, 4]
    assert not list(tmp_path.glob("*-v1*"))
    assert "resumed 1 times" in (tmp_path / "report.html").read_text()


def test_a_new_run_in_the_same_folder_has_names_of_its_own(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    report = RunReport()
    trainers = [quiet_trainer(max_steps=2, log_every_n_steps=1, callbacks=[report]) for _ in range(2)]
    trainers[0].fit(tiny_ijepa(), shapes())
    before = {path: path.read_bytes() for path in (tmp_path / "report.html", tmp_path / "history.jsonl")}
    trainers[1].fit(tiny_ijepa(), shapes())
    assert report.path == tmp_path / "report-v1.html"
    assert {path: path.read_bytes() for path in before} == before
    assert [step for step, _ in recorded(tmp_path / "history-v1.jsonl").values["train/loss"]] == [1, 2]


def test_the_folder_is_that_of_the_logger(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    logger = CSVLogger(tmp_path)
    quiet_trainer(max_steps=1, callbacks=[RunReport()], logger=logger).fit(tiny_ijepa(), shapes())
    assert (Path(logger.log_dir) / "report.html").is_file()


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"default_root_dir": "memory://runs"}])
def test_nothing_is_written_in_a_trial_or_without_a_disk(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, monkeypatch: Any, options: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    report = RunReport()
    quiet_trainer(callbacks=[report], **{"max_steps": 1, **options}).fit(tiny_ijepa(), shapes())
    assert report.path is None
    assert not list(tmp_path.iterdir())


def test_a_disk_that_takes_no_report_stops_no_training(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    trainer = quiet_trainer(max_steps=2, callbacks=[RunReport()], default_root_dir=tmp_path / "file" / "runs")
    with pytest.warns(UserWarning, match="RunReport cannot write to .*: this run has no report"):
        trainer.fit(tiny_ijepa(), shapes())
    assert trainer.global_step == 2


def test_alarms_are_recorded_with_their_step(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, monkeypatch: Any
) -> None:
    check = AlarmBell.check
    monkeypatch.setattr(AlarmBell, "check", lambda self, values, step: [*check(self, values, step), "it is <flat>"])
    monitor = CollapseMonitor(every_n_steps=4, memory=16)
    trainer = quiet_trainer(max_steps=8, log_every_n_steps=1, callbacks=[monitor, RunReport()])
    with pytest.warns(UserWarning, match="it is <flat>"):
        trainer.fit(tiny_ijepa(), shapes())
    history = recorded(tmp_path / "history.jsonl")
    assert history.alarms == [
        (1, "collapse", "it is <flat>"),
        (3, "collapse", "it is <flat>"),
        (7, "collapse", "it is <flat>"),
    ]
    assert [step for step, _ in monitor.alarms] == [1, 3, 7]
    assert "it is &lt;flat&gt;" in (tmp_path / "report.html").read_text()
    other = CollapseMonitor()
    other.load_state_dict(monitor.state_dict())
    assert other.alarms == monitor.alarms


def test_the_summary_names_the_report(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    quiet_trainer(max_steps=1, callbacks=[Summary(), RunReport()]).fit(tiny_ijepa(), shapes())
    assert "  report       report.html" in capsys.readouterr().out.splitlines()


def test_places_and_commands_are_recorded(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    callbacks = [ModelCheckpoint(filename="kept"), RunReport()]
    quiet_trainer(max_steps=1, callbacks=callbacks, enable_checkpointing=True, logger=True).fit(tiny_ijepa(), shapes())
    (line,) = (
        json.loads(line) for line in Path("lightning_logs/version_0/history.jsonl").read_text().splitlines()[-1:]
    )
    path = "lightning_logs/version_0/checkpoints/kept.ckpt"
    assert ["checkpoint", path] in line["places"]
    assert f'IJEPA.load_from_checkpoint("{path}")' in line["next"]


def test_a_page_that_cannot_be_drawn_stops_no_training(
    tiny_ijepa: Build, shapes: Build, quiet_trainer: Build, monkeypatch: Any
) -> None:
    def fails(*_: Any) -> None:
        raise IndexError("a fault of the page")

    monkeypatch.setattr("jepa_lightning.callbacks.run_report.write_report", fails)
    trainer = quiet_trainer(max_steps=1, callbacks=[RunReport()])
    with pytest.warns(UserWarning, match=r"RunReport cannot write .*report\.html: a fault of the page"):
        trainer.fit(tiny_ijepa(), shapes())
    assert trainer.state.finished
