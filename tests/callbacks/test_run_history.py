import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.demos.boring_classes import BoringModel

from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, ProbeReport
from jepa_lightning.callbacks.run_history import SHOWN, RunHistory, logged_values
from jepa_lightning.report.history import LENGTH, History, read_history

Build = Callable[..., Any]


@pytest.fixture
def history(tmp_path: Path) -> RunHistory:
    return RunHistory(tmp_path / "history.jsonl", 0, time.monotonic())


def recorded(history: RunHistory) -> History:
    found, broken = read_history(history.path.read_text())
    assert not broken
    return found


def at(step: int, **more: Any) -> Any:
    """What is asked of a Trainer at a step."""
    return SimpleNamespace(**{"global_step": step, "callbacks": [], "callback_metrics": {}, "optimizers": []} | more)


def add_steps(history: RunHistory, *steps: int) -> None:
    for step in steps:
        history.add_step(at(step), {"train/loss": step / 10})


def test_long_runs_have_fewer_records(history: RunHistory) -> None:
    due = [step for step in range(1, 1_000_001, 7) if history.is_due(at(step, log_every_n_steps=10))]
    assert len(due) < 2000 * 8
    assert len([step for step in due if step <= 20_000]) == 2000
    gaps = [(after - before) / before for before, after in pairwise(due) if before > 20_000]
    assert max(gaps) < 2 / 1000  # so a curve has a thousand points, however long it is


def test_a_trainer_that_logs_no_steps_has_none_recorded(history: RunHistory) -> None:
    assert not any(history.is_due(at(step, log_every_n_steps=0)) for step in range(1, 100))


def test_a_step_has_what_has_changed_and_always_the_learning_rate(history: RunHistory) -> None:
    for step, loss in enumerate((0.5, 0.5, math.nan, math.nan, 0.25), 1):
        history.add_step(at(step), {"train/loss": loss, "lr": 0.1, "lr-Adam/pg2": 0.2, "lrap": 0.75})
    assert recorded(history).values == {
        "train/loss": [(1, 0.5), (3, None), (5, 0.25)],
        "lr": [(step, 0.1) for step in range(1, 6)],
        "lr-Adam/pg2": [(step, 0.2) for step in range(1, 6)],
        "lrap": [(1, 0.75)],  # average precision of a ranking
    }


def test_a_step_without_news_adds_no_line(history: RunHistory) -> None:
    for step in (1, 2):
        history.add_step(at(step), {"train/loss": 0.5})
    assert len(history.path.read_text().splitlines()) == 1


def test_a_validation_has_what_was_measured_again_be_it_the_same_value(history: RunHistory) -> None:
    old, accuracy = torch.tensor(0.5), torch.tensor(0.25)
    values = {"train/loss": 0.5, "val/knn": 0.25}
    for step in (4, 8):
        before = {"train/loss": old, "val/knn": accuracy}
        now = {"train/loss": old, "val/knn": accuracy.clone()}
        history.add_validation(at(step, callback_metrics=now), before, values)
    assert recorded(history).values == {"val/knn": [(4, 0.25), (8, 0.25)]}


def test_values_are_single_numbers_and_the_rate_stands_in_where_no_callback_logs_it() -> None:
    optimizers = [torch.optim.SGD([torch.nn.Parameter(torch.ones(1))], lr=0.125)]
    metrics = {"train/loss": torch.tensor([0.5]), "map": torch.ones(3), "none": torch.ones(0)}

    def found(**more: Any) -> dict[str, float]:
        return logged_values(at(1, callback_metrics={**metrics, **more}, optimizers=optimizers))

    assert found() == {"train/loss": 0.5, "lr": 0.125}
    assert "lr" not in found(**{"lr-SGD": torch.tensor(0.25)})
    assert found(lrap=torch.tensor(0.75))["lr"] == 0.125
    assert logged_values(at(1, callback_metrics=metrics)) == {"train/loss": 0.5}  # of a module without an optimizer


def test_the_start_says_what_runs_and_long_options_are_cut(
    history: RunHistory, quiet_trainer: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["jepa-lightning", "x" * 2 * LENGTH])
    probes = OnlineKNN(), OnlineKNN(name="near"), ProbeReport(name="near")
    trainer = quiet_trainer(callbacks=[*probes, CollapseMonitor(name="late")])
    history.start(trainer, BoringModel(), {"width": 48, "text": "y" * 2 * SHOWN, "device": "mine"})
    (start,) = recorded(history).starts
    assert (start.step, start.method, start.data) == (0, "BoringModel", "")
    assert len(start.command) == LENGTH
    assert (start.probes, start.monitors) == (["knn", "near"], ["late"])
    assert start.about["width"] == "48"
    assert start.about["text"] == "y" * SHOWN
    assert "torch" in start.about


def test_an_alarm_is_recorded_once_and_alarms_are_in_order(history: RunHistory) -> None:
    monitor, other = CollapseMonitor(), CollapseMonitor(name="second")
    monitor.alarms = [(3, "flat"), (1, "flat")]
    history.add_results(at(4, callbacks=[monitor, other]))
    other.alarms = [(2, "low")]
    history.add_results(at(8, callbacks=[monitor, other]))
    history.add_results(at(9, callbacks=[monitor, other]))
    lines = history.path.read_text().splitlines()
    assert len(lines) == 3
    assert recorded(history).alarms == [(1, "collapse", "flat"), (3, "collapse", "flat"), (2, "second", "low")]


def test_accuracies_are_those_of_the_latest_results(history: RunHistory) -> None:
    report = ProbeReport()
    for value in (0.25, 0.5):
        report.accuracy = {"trained": {"": value}}
        history.add_results(at(4, callbacks=[report]))
    assert recorded(history).rows == {"": {"trained": 0.5}}


def test_the_end_is_at_the_last_step_that_was_seen(history: RunHistory) -> None:
    for step in (1, 2, 3):
        history.is_due(at(step, log_every_n_steps=50))
    history.end("KeyboardInterrupt", [("logs", "a")], ["tensorboard"])
    end = recorded(history).end
    assert end is not None
    assert (end.step, end.reason, end.places, end.next) == (3, "KeyboardInterrupt", [["logs", "a"]], ["tensorboard"])


def test_a_disk_that_takes_no_more_is_named_once_and_nothing_follows(history: RunHistory) -> None:
    add_steps(history, 1)
    whole = history.path.read_text()
    aside = history.path.rename(history.path.with_name("aside"))
    history.path.mkdir()
    with pytest.warns(UserWarning, match=r"cannot write .*history\.jsonl \(Is a directory\): the report ends") as said:
        add_steps(history, 2, 3)
    assert len(said) == 1
    history.path.rmdir()
    aside.rename(history.path)
    history.end("", [], [])
    assert history.path.read_text() == whole  # a record with a gap would look like a whole one
