from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.figures import Tally
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
@pytest.mark.parametrize("ema", [None, 0.9])
def test_the_whole_encoder_and_the_head_alone_are_trained_and_a_stopped_run_resumes(
    tmp_path: Path, tiny_ijepa: Any, shapes: Any, tasks: Any, monkeypatch: pytest.MonkeyPatch, ema: float | None
) -> None:
    module = tiny_ijepa()
    before = {name: each.clone() for name, each in module.state_dict().items()}
    options = {"epochs": 2, "lr": 3e-3, **({"ema": ema} if ema else {})}

    def run(name: str) -> Any:
        data = shapes(num_val=32, pipeline=module.pipeline())
        data.setup()
        test = data.test_dataloader()
        return FineTuning(module, lambda: shapes(num_val=32), test, tmp_path / name, options).records(tasks, Settings())

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
    assert run("stopped") == whole  # as if it had been killed before it could write what it found


def test_outputs_are_averaged_over_the_views_of_the_test_samples(
    tmp_path: Path, tiny_ijepa: Any, shapes: Any, tasks: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def shake(self: FineTuning, classifier: Classifier, *_: Any) -> None:
        for parameter in classifier.head.parameters():
            torch.nn.init.normal_(parameter)

    monkeypatch.setattr(FineTuning, "_train", shake)
    shown: list[torch.Tensor] = []
    monkeypatch.setattr(Tally, "add", lambda self, outputs, target: shown.append(outputs))
    data = shapes(num_val=32, pipeline=tiny_ijepa().pipeline())
    data.setup()
    batch = next(iter(data.test_dataloader()))
    other = batch._replace(views=[batch.views[0].flip(-1)])
    both = batch._replace(views=[*batch.views, *other.views])
    run = FineTuning(tiny_ijepa(), lambda: shapes(num_val=32), [batch, other, both], tmp_path, {})
    run._tallies(tasks, Settings(), freeze=True)
    first, second, mean = shown[0], shown[2], shown[4]
    torch.testing.assert_close(mean, (first + second) / 2)
    assert not torch.allclose(first, second)
