import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

SCRIPT = """
import sys
import torch
from lightning.pytorch import Trainer
from plain import Plain, loaders
from jepa_lightning.callbacks import CollapseMonitor, OnlineKNN, OnlineLinearProbe, ProbeReport

folder, ranks = sys.argv[1], int(sys.argv[2])
where = {"features": "backbone", "num_classes": 3}
probe, knn = OnlineLinearProbe(every_n_steps=1, **where), OnlineKNN(k=5, max_samples=30, **where)
report, monitor = ProbeReport(30, features="backbone"), CollapseMonitor(4, memory=16, features="backbone")
torch.manual_seed(0)
trainer = Trainer(
    accelerator="cpu", devices=ranks, strategy="ddp" if ranks > 1 else "auto", logger=False, max_epochs=4,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    callbacks=[probe, knn, report, monitor],
)
trainer.fit(Plain(), *loaders())
logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
found = {"probe": probe.state_dict(), "report": report.accuracy["random init"], "logged": logged}
torch.save(found, f"{folder}/{ranks}_{trainer.global_rank}.pt")
"""


def run(folder: Path, ranks: int) -> list[dict]:
    script = folder / "run.py"
    script.write_text(SCRIPT)
    paths = os.pathsep.join([str(Path(__file__).parent), *(path for path in sys.path if path)])
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, folder, str(ranks)], env=environment, check=True, timeout=300)
    return [torch.load(folder / f"{ranks}_{rank}.pt", weights_only=True) for rank in range(ranks)]


@pytest.mark.slow
def test_two_ranks_agree_with_each_other_and_start_as_one(tmp_path: Path) -> None:
    (alone,), (first, second) = run(tmp_path, 1), run(tmp_path, 2)
    torch.testing.assert_close(first["probe"], second["probe"], rtol=0, atol=0)
    names = {name for name in first["logged"] if name.startswith(("val/linear", "val/knn", "collapse/"))}
    assert {"val/linear", "val/knn", "val/linear_random_init", "collapse/rank"} <= names
    assert {name: first["logged"][name] for name in names} == {name: second["logged"][name] for name in names}
    assert first["logged"]["val/linear"] > 0.9
    assert alone["report"] == pytest.approx(first["report"], abs=1e-6)
