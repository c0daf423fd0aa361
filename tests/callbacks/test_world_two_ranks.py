"""Callbacks of world models on two processes, over gloo: both plan the same episodes, and keep the same decoder."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("gymnasium", reason="needs the extra worlds")

SCRIPT = """
import sys
import torch
from lightning.pytorch import Trainer
from jepa_lightning import WorldModel
from jepa_lightning.callbacks import OnlinePlanning, RolloutPictures
from jepa_lightning.data import TwoRoomsDataModule
from jepa_lightning.nn import ImpalaEncoder
from jepa_lightning.planning import CEM

folder, ranks, strategy = sys.argv[1], int(sys.argv[2]), sys.argv[3]
torch.manual_seed(0)
encoder = ImpalaEncoder((65, 65), in_channels=2, width=8, channels=[2, 2, 2])
module = WorldModel(encoder, num_frames=3, rollout_steps=2, inverse_hidden=8)
planning = OnlinePlanning("TwoRooms", 1, 3, CEM(4, 6, 2, 1), max_steps=4)
trainer = Trainer(
    accelerator="cpu", devices=ranks, strategy=strategy, logger=False, max_steps=2, enable_checkpointing=False,
    enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder, num_sanity_val_steps=0,
    callbacks=[planning, RolloutPictures(1, num_images=1)],
)
trainer.fit(module, datamodule=TwoRoomsDataModule(num_train=16, num_val=4, num_frames=3, batch_size=4))
heads = trainer.callbacks[1].state_dict()["probe"]["heads"]
found = {"planning": planning.state_dict(), "heads": heads, "steps": trainer.global_step}
torch.save(found, f"{folder}/{strategy}_{trainer.global_rank}.pt")
"""


def run(folder: Path, strategy: str) -> list[dict[str, Any]]:
    script, own = folder / "run.py", folder / strategy
    own.mkdir()
    script.write_text(SCRIPT)
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, script, own, "2", strategy], env=environment, check=True, timeout=300)
    return [torch.load(own / f"{strategy}_{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_two_ranks_plan_the_same_and_draw_once(tmp_path: Path, strategy: str) -> None:
    first, second = run(tmp_path, strategy)
    assert first["planning"] == second["planning"] == {"best": 0.0, "random": 0.0}
    assert first["steps"] == 2
    for name, weight in first["heads"].items():
        torch.testing.assert_close(weight, second["heads"][name], rtol=0, atol=0)
    assert first["heads"]["norm.running_mean"].abs().max() > 0
    pictures = sorted((tmp_path / strategy / "pictures").rglob("*.png"))
    assert [path.parent.name for path in pictures] == ["step_000001", "step_000002"]
