"""Pictures on two processes, over gloo: drawn once, and all processes stop drawing together."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops

SCRIPT = """
import sys
import torch
from lightning.pytorch import Trainer
from jepa_lightning import IJEPA
from jepa_lightning.callbacks import EnergyHistogram, EnergyMap, MaskPictures, NeighborPictures, TokenPCA
from jepa_lightning.data import ShapesDataModule

folder, ranks, strategy = sys.argv[1], int(sys.argv[2]), sys.argv[3]


class Broken(TokenPCA):
    def measure(self, trainer, module):
        found = super().measure(trainer, module)
        if trainer.global_rank == ranks - 1:
            raise RuntimeError("on the last rank")
        return found


torch.manual_seed(0)
module = IJEPA("vit_tiny", 32, 8, width=48, depth=2, heads=3, predictor_depth=1, predictor_dim=24, min_keep=4)
data = ShapesDataModule(num_train=64, num_val=32, image_size=32, batch_size=8, num_workers=0)
pictures = [MaskPictures(1), TokenPCA(1), EnergyMap(1), NeighborPictures(1, max_samples=20), EnergyHistogram(1)]
trainer = Trainer(
    accelerator="cpu", devices=ranks, strategy=strategy, logger=False, max_steps=2, limit_val_batches=1,
    enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False, default_root_dir=folder,
    callbacks=[*pictures, Broken(1, name="broken")],
)
trainer.fit(module, datamodule=data)
assert trainer.global_step == 2
"""
NAMES = {"masks", "token_pca", "energy_map", "neighbors", "energy_histogram"}


def run(folder: Path, ranks: int, strategy: str) -> tuple[Path, str]:
    script, own = folder / "run.py", folder / strategy
    script.write_text(SCRIPT)
    paths = os.pathsep.join(path for path in sys.path if path)
    environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, script, own, str(ranks), strategy]
    done = subprocess.run(command, env=environment, check=True, timeout=300, capture_output=True, text=True)
    return own / "pictures", done.stderr


@pytest.mark.slow
def test_two_ranks_draw_once_what_one_draws_however_weights_lie(tmp_path: Path) -> None:
    alone, _ = run(tmp_path, 1, "auto")
    for strategy in ("ddp", "fsdp2"):
        both, said = run(tmp_path, 2, strategy)
        for step in range(3):
            # the first process has drawn before it knows that another one cannot
            expected = NAMES | ({"broken"} if step == 0 else set())
            assert {path.stem for path in (both / f"step_{step:06d}").iterdir()} == expected
        assert said.count("Broken: another process could not draw it. It draws nothing from here on.") == 1
        for name in NAMES:
            first, second = (Image.open(folder / "step_000000" / f"{name}.png") for folder in (alone, both))
            extrema = ImageChops.difference(first, second).getextrema()
            # sharded weights round differently
            assert max(high for _, high in extrema) <= (0 if strategy == "ddp" else 2), name
