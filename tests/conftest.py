from collections.abc import Callable
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from jepa_lightning import IJEPA
from jepa_lightning.data import ShapesDataModule
from jepa_lightning.types import Batch


@pytest.fixture
def tiny_ijepa() -> Callable[..., IJEPA]:
    def build(cls: type[IJEPA] = IJEPA, **options: Any) -> IJEPA:
        torch.manual_seed(0)
        defaults = {
            "encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8,
            "predictor_depth": 1, "predictor_dim": 24, "num_targets": 2, "min_keep": 4,
        }  # fmt: skip
        return cls(**{**defaults, **options})

    return build


@pytest.fixture
def shapes() -> Callable[..., ShapesDataModule]:
    def build(**options: Any) -> ShapesDataModule:
        defaults = {"num_train": 64, "num_val": 16, "image_size": 32, "batch_size": 16, "num_workers": 0}
        return ShapesDataModule(**{**defaults, **options})

    return build


@pytest.fixture
def quiet_trainer(tmp_path: Any) -> Callable[..., Trainer]:
    def build(**options: Any) -> Trainer:
        defaults = {
            "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False,
            "enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": tmp_path,
        }  # fmt: skip
        return Trainer(**{**defaults, **options})

    return build


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    def build(module: IJEPA, size: int = 8, seed: int = 0) -> Batch:
        torch.manual_seed(seed)
        pipeline = module.pipeline()
        images = torch.randint(0, 256, (size, 3, 40, 40), dtype=torch.uint8)
        return pipeline.collate([(pipeline.eval_transform(image), i % 3) for i, image in enumerate(images)])

    return build


TINY_CLI = """
model:
  class_path: IJEPA
  init_args: {encoder: vit_tiny, width: 48, depth: 2, heads: 3, image_size: 32, patch_size: 8, predictor_depth: 1,
    predictor_dim: 24, num_targets: 2, min_keep: 4}
data:
  class_path: ShapesDataModule
  init_args: {num_train: 64, num_val: 32, image_size: 32, batch_size: 16, num_workers: 0}
trainer:
  accelerator: cpu
  devices: 1
  max_steps: 8
  num_sanity_val_steps: 0
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
  callbacks: [OnlineLinearProbe, {class_path: ProbeReport, init_args: {max_samples: 100}}]
"""


@pytest.fixture
def tiny_cli(tmp_path: Any, monkeypatch: Any) -> str:
    """A configuration for the command line, which works in a folder of its own and finds no arguments but ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])
    (tmp_path / "tiny.yaml").write_text(TINY_CLI)
    return "tiny.yaml"
