from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint

from jepa_lightning.callbacks import BestCheckpoint

Build = Callable[..., Any]


class Logs(Callback):
    """Logs what a probe would, one value a validation."""

    def __init__(self, **values: list[float]) -> None:
        self.values = values

    def on_validation_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        for name, left in self.values.items():
            pl_module.log(f"val/{name}", left.pop(0))


@pytest.fixture
def fit(tiny_ijepa: Build, shapes: Build, quiet_trainer: Build) -> Build:
    def run(*callbacks: Callback, steps: int = 3, ckpt_path: Any = None) -> None:
        trainer = quiet_trainer(
            callbacks=list(callbacks), enable_checkpointing=True, num_sanity_val_steps=0, max_steps=steps,
            val_check_interval=1, limit_val_batches=1,
        )  # fmt: skip
        trainer.fit(tiny_ijepa(), shapes(), ckpt_path=ckpt_path)

    return run


@pytest.mark.parametrize(
    ("logged", "monitor", "best"),
    [
        ({"linear": [0.1, 0.3, 0.2]}, "val/linear", 2),
        ({"linear_r2": [0.3, -1.0, 0.2], "linear_mae": [9.0, 3.0, 1.0]}, "val/linear_r2", 1),
        ({"linear_map": [0.1, 0.2, 0.3]}, "val/linear_map", 3),
        ({"linear_r2": [0.1, 0.2, 0.3], "linear": [0.3, 0.2, 0.1]}, "val/linear", 1),
    ],
)
def test_the_highest_figure_of_the_probe_counts_whatever_labels_are(
    fit: Build, tmp_path: Path, logged: Any, monitor: str, best: int
) -> None:
    saver = BestCheckpoint(dirpath=str(tmp_path))
    highest = max(logged[monitor.removeprefix("val/")])
    fit(Logs(**logged), saver)
    assert [path.name for path in tmp_path.glob("*.ckpt")] == ["best.ckpt"]
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["global_step"] == best
    assert (saver.monitor, saver.best_model_score) == (monitor, pytest.approx(highest))


def test_another_probe(fit: Build, tmp_path: Path) -> None:
    saver = BestCheckpoint("val/knn", str(tmp_path))
    fit(Logs(linear=[0.1, 0.2, 0.3], knn_r2=[0.3, 0.2, 0.1]), saver)
    assert saver.monitor == "val/knn_r2"
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["global_step"] == 1


def test_a_probe_that_logs_nothing_is_told(fit: Build, tmp_path: Path) -> None:
    with pytest.raises(Exception, match=r"monitor='val/linear'.*could not find the monitored key"):
        fit(BestCheckpoint(dirpath=str(tmp_path)))


@pytest.mark.parametrize("monitor", ["", "linear", "train/loss"])
def test_what_no_validation_logs_is_refused(monitor: str) -> None:
    with pytest.raises((MisconfigurationException, ValueError), match="monitor"):
        BestCheckpoint(monitor)


@pytest.mark.parametrize("former", [False, True])
def test_a_resumed_run_keeps_the_best_of_before(fit: Build, tmp_path: Path, former: bool) -> None:
    options: Any = {"filename": "best", "mode": "max", "save_on_train_epoch_end": False}
    options["enable_version_counter"] = False
    first = (
        ModelCheckpoint(str(tmp_path), monitor="val/linear", **options)
        if former
        else BestCheckpoint(dirpath=str(tmp_path))
    )
    name = "linear" if former else "linear_r2"
    saves = ModelCheckpoint(str(tmp_path), "second", every_n_train_steps=2, save_top_k=-1)
    fit(Logs(**{name: [0.5, 0.2]}), first, saves, steps=2)
    again = BestCheckpoint(dirpath=str(tmp_path))
    fit(Logs(**{name: [0.4, 0.3]}), again, steps=4, ckpt_path=str(tmp_path / "second.ckpt"))
    assert again.best_model_score == pytest.approx(0.5)
    assert torch.load(tmp_path / "best.ckpt", weights_only=True)["global_step"] == 1
