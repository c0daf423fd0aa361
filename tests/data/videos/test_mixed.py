"""Videos and images in one training of V-JEPA 2.1."""

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.utils.data import TensorDataset

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.callbacks import CollapseMonitor, OnlineAttentiveProbe, OnlineKNN, OnlineLinearProbe
from jepa_lightning.cli.main import main
from jepa_lightning.data import JEPADataModule, MixedDataModule, PhysicsVideoDataModule, ShapesDataModule

Build = Callable[..., Any]
MODEL = {
    "encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8, "num_frames": 4,
    "frame_step": 1, "predictor_depth": 1, "predictor_dim": 24, "min_keep": 4, "images": True, "image_blocks": 2,
    "levels": [0, 1], "context_loss": 0.5, "lr": 0.01,
}  # fmt: skip


def mixed(num_train: int = 32, **options: Any) -> MixedDataModule:
    videos = PhysicsVideoDataModule(num_train=num_train, num_val=8, num_frames=4, image_size=32)
    images = ShapesDataModule(num_train=24, num_val=8, image_size=32)
    return MixedDataModule(videos, images, **{"batch_size": 4, "num_workers": 0, **options})


def model(**options: Any) -> VJEPA:
    torch.manual_seed(0)
    return VJEPA(**{**MODEL, **options})


class Seen(Callback):
    """Notes the batches of a run."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []
        self.labels: list[dict[str, Tensor]] = []

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        self.shapes.append(tuple(batch.views[0].shape))
        self.labels.append(batch.labels)


def fit(quiet_trainer: Build, data: Any, steps: int, ckpt: Path | None = None, **options: Any) -> tuple[VJEPA, Any]:
    module = model(**options.pop("model", {}))
    torch.manual_seed(7 if ckpt is None else 99)
    trainer = quiet_trainer(max_steps=steps, **{"limit_val_batches": 0, **options})
    trainer.fit(module, data, ckpt_path=ckpt)
    return module, trainer


def test_steps_take_turns_with_probes_and_monitor_beside(quiet_trainer: Build) -> None:
    seen, monitor = Seen(), CollapseMonitor(every_n_steps=2, num_samples=4, memory=8)
    probes = [OnlineLinearProbe(), OnlineAttentiveProbe(), OnlineKNN()]
    callbacks = [seen, monitor, *probes]
    _, trainer = fit(quiet_trainer, mixed(16, images_per_clip=2), 8, callbacks=callbacks, limit_val_batches=2)
    assert seen.shapes == [(8, 3, 1, 32, 32), (4, 3, 4, 32, 32)] * 4
    assert all((column == -1).all() for labels in seen.labels[::2] for column in labels.values())
    assert all((labels["direction"] >= 0).all() for labels in seen.labels[1::2])
    logged = trainer.callback_metrics
    assert {"train/image_prediction_loss_0", "train/prediction_loss_1", "train/context_loss"} <= logged.keys()
    assert {"val/linear_direction", "val/knn_direction", "val/attentive_direction"} <= logged.keys()
    assert logged["collapse/energy"] > 0


def test_the_same_with_a_resume_in_the_middle_of_an_epoch(quiet_trainer: Build, tmp_path: Path) -> None:
    saver = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=5, save_top_k=-1)
    first, then = Seen(), Seen()
    both = {"enable_checkpointing": True}
    whole, _ = fit(quiet_trainer, mixed(20), 12, callbacks=[saver, first], **both)  # 10 steps an epoch
    resumed, _ = fit(quiet_trainer, mixed(20), 12, tmp_path / "step=5.ckpt", callbacks=[then], **both)
    assert first.shapes[5:] == then.shapes
    for one, other in zip(whole.state_dict().values(), resumed.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_values_and_missing_labels_are_missing_for_images() -> None:
    class Clips(PhysicsVideoDataModule):
        kind: Any = None

        def build_datasets(self) -> Any:
            train, val = super().build_datasets()
            return [None, *((clip, self.kind, None) for clip, *_ in train)], list(val)

    for kind, expected in ((2.5, "nan"), (1, "-1"), (None, "None")):
        Clips.kind = kind
        data = MixedDataModule(Clips(8, 2, 4, 32), ShapesDataModule(8, 2, 32), batch_size=2, num_workers=0)
        data.setup()
        data._pipeline = model().pipeline()
        data._image_pipeline = model().image_pipeline  # type: ignore[method-assign]
        labels = next(iter(data.train_dataloader())).labels
        assert str(labels if labels is None else labels[0].item()).removesuffix(".0") == expected
        assert labels is None or math.isnan(labels[0]) == (kind == 2.5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mixing": "ranks", "images_per_clip": 2}, "images_per_clip=2 is for mixing='steps'"),
        ({"videos": {"batch_size": 8}}, "batch_size of videos has no effect in MixedDataModule"),
        ({"images": {"num_workers": 1}}, "num_workers of images has no effect"),
        ({"images": {"in_channels": 3, "mean": [0.5] * 3, "std": [0.5] * 3}}, "must have the same in_channels"),
        ({"image_share": 1.0}, "image_share=1 is out of range"),
    ],
)
def test_options_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    parts = [
        kind(num_train=8, num_val=8, **options.pop(name, {}))
        for name, kind in (("videos", PhysicsVideoDataModule), ("images", ShapesDataModule))
    ]
    with pytest.raises(ValueError, match=message):
        MixedDataModule(*parts, **options)


def test_a_module_without_both_is_refused(quiet_trainer: Build) -> None:
    with pytest.raises(ValueError, match="built for clips alone: set images to True"):
        fit(quiet_trainer, mixed(), 1, model={"images": False, "image_blocks": 10})
    with pytest.raises(MisconfigurationException, match="IJEPA does not take both: train VJEPA with images=True"):
        quiet_trainer(max_steps=1).fit(IJEPA("vit_tiny", depth=1, image_size=32, patch_size=8, min_keep=2), mixed())
    with pytest.raises(ValueError, match="needs 2 devices or more: set mixing to steps"):
        fit(quiet_trainer, mixed(mixing="ranks"), 1)


def test_data_without_images_is_refused(quiet_trainer: Build) -> None:
    class Empty(JEPADataModule):
        num_classes = 2

        def build_datasets(self) -> Any:
            return TensorDataset(torch.zeros(0, 3, 32, 32)), TensorDataset(torch.zeros(0, 3, 32, 32))

    with pytest.raises(MisconfigurationException, match="Empty has no training image"):
        MixedDataModule(PhysicsVideoDataModule(8, 8), Empty()).setup()


CONFIG = """
model:
  class_path: VJEPA
  init_args: {options}
data:
  class_path: MixedDataModule
  init_args:
    videos:
      class_path: PhysicsVideoDataModule
      init_args: {{num_train: 16, num_val: 8, num_frames: 4, image_size: 32}}
    images: {{class_path: ShapesDataModule, init_args: {{num_train: 16, num_val: 8, image_size: 32}}}}
    batch_size: 4
    num_workers: 0
trainer: {{max_steps: 4, accelerator: cpu, devices: 1, logger: false, enable_progress_bar: false}}
"""


def write_config(folder: Path, **options: Any) -> Path:
    path = folder / "mixed.yaml"
    path.write_text(CONFIG.format(options={**MODEL, "start_lr": 0.01, "warmup": 0, "optimizer": "sgd", **options}))
    return path


def test_the_command_line_builds_both(tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    main(["fit", "--config", str(write_config(tmp_path))])
    assert "VJEPA on MixedDataModule: 4 steps" in capsys.readouterr().out


@pytest.mark.slow
def test_two_ranks_of_one_kind_each_take_the_steps_of_one_process_that_accumulates_both(
    jobs: Any, tmp_path: Path
) -> None:
    """Rank 0 has the clips and rank 1 the images that one process has in turn."""
    config = write_config(tmp_path)
    shared = ["--trainer.callbacks=LastCheckpoint", "--trainer.limit_val_batches=0", "--seed_everything=3"]
    ranks = ["--trainer.devices=2", "--trainer.strategy=ddp", "--data.mixing=ranks"]
    one = ["--trainer.devices=1", "--trainer.accumulate_grad_batches=2"]
    found = []
    for name, options, number in (("two", ranks, 2), ("one", one, 1)):
        jobs.run(name, "fit", f"--config={config}", *shared, *options, ranks=number)
        (path,) = (jobs.folder / name).rglob("last.ckpt")
        found.append(torch.load(path, weights_only=True))
    assert found[0]["global_step"] == found[1]["global_step"] == 4
    torch.testing.assert_close(found[0]["state_dict"], found[1]["state_dict"], rtol=1e-4, atol=1e-5)
    fsdp = ["--trainer.devices=2", "--trainer.strategy=fsdp2", "--data.mixing=ranks"]
    said = jobs.run("sharded", "fit", f"--config={config}", *shared, *fsdp, ranks=2, codes={1})
    assert "mixing='ranks' gives ranks different work" in said
    alternating = ["--trainer.devices=2", "--trainer.strategy=fsdp2"]
    jobs.run("alternating", "fit", f"--config={config}", *shared, *alternating, ranks=2)
    assert os.path.exists(jobs.folder / "alternating")
