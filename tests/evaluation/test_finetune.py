from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.finetune import FineTuning
from jepa_lightning.evaluation.tasks import Settings, tasks_of
from jepa_lightning.modules import Classifier


@pytest.fixture
def tasks(shapes: Any) -> Any:
    """Of count and color alone."""
    data = shapes(num_val=32)
    data.setup()
    tables = []
    for split in (data.train_set, data.val_set):
        labels = [split[i][1] for i in range(len(split))]
        columns = {name: torch.tensor([each[name] for each in labels]) for name in ("count", "color")}
        tables.append(Table({}, columns))
    return tasks_of(*tables, seed=0)


@pytest.mark.slow
def test_the_whole_encoder_and_the_head_alone_are_trained_and_a_stopped_run_resumes(
    tmp_path: Path, tiny_ijepa: Any, shapes: Any, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = tiny_ijepa()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    options = {"epochs": 2, "lr": 3e-3}

    def run(name: str) -> Any:
        return FineTuning(module, lambda: shapes(num_val=32), tmp_path / name, options).records(tasks, Settings())

    whole = run("whole")
    assert whole["color"]["samples"] == 32
    assert {"accuracy", "interval", "head_only", "options"} <= whole["count"].keys()
    assert all(torch.equal(before[name], each) for name, each in module.state_dict().items())

    def stop(self: Classifier) -> None:
        if self.current_epoch == 1 and not self.is_frozen:
            raise RuntimeError("stopped")

    with monkeypatch.context() as patch:
        patch.setattr(Classifier, "on_train_epoch_start", stop)
        with pytest.raises(RuntimeError, match="stopped"):
            run("stopped")
    assert (tmp_path / "stopped" / "full" / "last.ckpt").exists()
    assert run("stopped") == whole
