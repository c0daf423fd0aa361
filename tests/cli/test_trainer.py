from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from jepa_lightning.callbacks import FeatureWriter, LastCheckpoint
from jepa_lightning.cli.trainer import CLITrainer

Build = Callable[..., Any]


@pytest.fixture
def trainer(tmp_path: Path) -> Build:
    def build(**options: Any) -> CLITrainer:
        return CLITrainer(
            accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
            default_root_dir=tmp_path, num_sanity_val_steps=0, limit_val_batches=0, **options,
        )  # fmt: skip

    return build


def test_the_folder_of_a_run_is_the_trainers_whatever_the_logger(trainer: Build, tmp_path: Path) -> None:
    built = trainer(enable_checkpointing=False)
    assert built.log_dir == str(tmp_path)
    built.run_folder = "logs/IJEPA/version_3"
    assert built.log_dir == "logs/IJEPA/version_3"


def test_what_slurm_requeues_from_is_the_last_checkpoint(
    trainer: Build, tiny_ijepa: Build, shapes: Build, tmp_path: Path
) -> None:
    built = trainer(max_steps=1, callbacks=[LastCheckpoint(str(tmp_path / "kept"))])
    built.fit(tiny_ijepa(), shapes())
    (tmp_path / "kept" / "last.ckpt").unlink()
    built.save_checkpoint(tmp_path / "hpc_ckpt_1.ckpt")
    built.save_checkpoint(tmp_path / "other.ckpt", weights_only=True)
    assert not (tmp_path / "hpc_ckpt_1.ckpt").exists()
    last = torch.load(tmp_path / "kept" / "last.ckpt", weights_only=True)
    assert last["global_step"] == 1
    assert "optimizer_states" not in torch.load(tmp_path / "other.ckpt", weights_only=True)


def test_predict_writes_a_file_and_leaves_no_writer_behind(
    trainer: Build, tiny_ijepa: Build, shapes: Build, tmp_path: Path
) -> None:
    built, file = trainer(enable_checkpointing=False), tmp_path / "features.npz"
    built.predict(tiny_ijepa(), datamodule=shapes(), features=str(file), layers=[-2, -1])
    assert np.load(file)["features"].shape == (80, 96)
    assert not any(isinstance(callback, FeatureWriter) for callback in built.callbacks)
    with pytest.raises(Exception, match="it exists; give another name, or overwrite=True"):
        built.predict(tiny_ijepa(), datamodule=shapes(), features=str(file))
    assert not any(isinstance(callback, FeatureWriter) for callback in built.callbacks)
    built.predict(tiny_ijepa(), datamodule=shapes(), features=str(file), overwrite=True)
    assert np.load(file)["features"].shape == (80, 48)
