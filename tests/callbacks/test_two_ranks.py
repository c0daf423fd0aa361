import os
import subprocess
import sys

import pytest
import torch

from jepa_lightning.report.history import read_history

SCRIPT = """
import sys
import torch
from lightning.pytorch import Trainer
from jepa_lightning import IJEPA
from jepa_lightning.callbacks import CollapseMonitor, OnlineAttentiveProbe, OnlineKNN, OnlineLinearProbe, RunReport
from jepa_lightning.data import ShapesDataModule

folder, ranks, strategy = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
module = IJEPA("vit_tiny", 32, 8, width=48, depth=2, heads=3, predictor_depth=1, predictor_dim=24, min_keep=4)
data = ShapesDataModule(num_train=61, num_val=32, image_size=32, batch_size=8, num_workers=0)
probe, attentive, knn = OnlineLinearProbe(), OnlineAttentiveProbe(), OnlineKNN(k=5, max_samples=40)
trainer = Trainer(
    accelerator="cpu", devices=ranks, strategy=strategy, logger=False, max_epochs=2,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    callbacks=[probe, attentive, knn, CollapseMonitor(every_n_steps=2, memory=16), RunReport()],
)
untrained = trainer.validate(module, datamodule=data, verbose=False)[0]
trainer.fit(module, datamodule=data)
logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
probes = {"probe": probe.state_dict(), "attentive": attentive.state_dict()}
found = {"untrained": untrained, **probes, "steps": trainer.global_step, "logged": logged}
torch.save(found, f"{folder}/{strategy}_{trainer.global_rank}.pt")
"""


def run(folder, ranks, strategy):
    script = folder / "run.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, folder, str(ranks), strategy]
    subprocess.run(command, env=environment, check=True, timeout=300)
    return [torch.load(folder / f"{strategy}_{rank}.pt", weights_only=True) for rank in range(ranks)]


@pytest.mark.slow
def test_two_ranks_agree_with_each_other_and_with_one_however_weights_lie(tmp_path):
    (alone,), (first, second) = run(tmp_path, 1, "auto"), run(tmp_path, 2, "ddp")
    for sharded, whole in zip(run(tmp_path, 2, "fsdp2"), (first, second), strict=True):
        assert sharded["logged"] == pytest.approx(whole["logged"], rel=1e-4)
        assert sharded["untrained"] == pytest.approx(whole["untrained"], rel=1e-4)
        heads = [run["probe"]["probe"]["heads"]["heads.0.weight"] for run in (sharded, whole)]
        torch.testing.assert_close(*heads, rtol=1e-3, atol=1e-5)
    knn = [name for name in alone["untrained"] if "knn" in name]
    assert len(knn) == 7
    assert {name: first["untrained"][name] for name in knn} == {name: alone["untrained"][name] for name in knn}
    for name in ("probe", "attentive"):
        torch.testing.assert_close(first[name], second[name], rtol=0, atol=0)
    assert first["attentive"]["probe"]["heads"]["norm.running_mean"].abs().max() > 0
    assert first["probe"]["probe"]["heads"]["heads.0.weight"].abs().max() > 0
    assert first["probe"]["probe"]["optimizer"]["state"][0]["step"] == first["steps"]
    shared = [name for name in first["logged"] if name.startswith(("val/", "collapse/"))]
    assert {"val/linear", "val/knn", "collapse/rank"} <= set(shared)
    assert {name: first["logged"][name] for name in shared} == {name: second["logged"][name] for name in shared}
    # one rank of each run has recorded it
    histories = [read_history((tmp_path / f"history{end}.jsonl").read_text()) for end in ("", "-v1", "-v2")]
    assert len(list(tmp_path.glob("report*.html"))) == 3
    for (history, broken), logged in zip(histories[:2], (alone["logged"], first["logged"]), strict=True):
        assert not broken
        assert len(history.starts) == 1
        assert {name: history.values[name][-1][1] for name in shared} == {name: logged[name] for name in shared}
