from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.distributed.checkpoint.state_dict_saver import save

from jepa_lightning import VJEPA
from jepa_lightning.callbacks import StartFrom
from jepa_lightning.data import PhysicsVideoDataModule

Build = Callable[..., Any]


def tiny(**options: Any) -> VJEPA:
    sizes = {"width": 48, "depth": 1, "heads": 3, "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 2}
    return VJEPA("vit_tiny", **{"image_size": 32, "patch_size": 8, "num_frames": 4, "min_keep": 2, **sizes, **options})


def clips() -> PhysicsVideoDataModule:
    return PhysicsVideoDataModule(num_train=8, num_val=8, num_frames=8, image_size=32, batch_size=4, num_workers=0)


@pytest.fixture
def first(tmp_path: Path, quiet_trainer: Build) -> Callable[..., tuple[Path, VJEPA]]:
    def run(**options: Any) -> tuple[Path, VJEPA]:
        model = tiny(**options)
        trainer = quiet_trainer(max_steps=2)
        trainer.fit(model, clips())
        trainer.save_checkpoint(tmp_path / "first.ckpt")
        return tmp_path / "first.ckpt", model

    return run


def test_a_folder_of_shards_does_as_well(first: Build, quiet_trainer: Build, tmp_path: Path) -> None:
    path, model = first()
    saved = torch.load(path, weights_only=True)
    save({"state_dict": saved.pop("state_dict")}, checkpoint_id=tmp_path / "sharded.ckpt", no_dist=True)
    torch.save({"global_step": 2, "pytorch-lightning_version": "2.6.0"}, tmp_path / "sharded.ckpt" / "meta.pt")
    second = tiny()
    StartFrom(str(tmp_path / "sharded.ckpt")).setup(quiet_trainer(), second, "fit")
    torch.testing.assert_close(second.state_dict(), model.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize(("rope", "num_frames", "image_size"), [(True, 8, 48), (False, 8, 48), (False, 4, 32)])
def test_a_second_phase_on_longer_and_larger_clips(
    first: Build, quiet_trainer: Build, rope: bool, num_frames: int, image_size: int
) -> None:
    path, before = first(rope=rope)
    model = tiny(rope=rope, num_frames=num_frames, image_size=image_size)
    tables = {name: value.clone() for name, value in model.state_dict().items() if name.endswith("pos_embed")}
    quiet_trainer(max_steps=1, callbacks=[StartFrom(str(path))], limit_train_batches=0).fit(model, clips())
    expected = before.state_dict() | tables
    assert all(torch.equal(value, expected[name]) for name, value in model.state_dict().items())
    assert model.global_step == 0


def test_a_resumed_run_is_left_alone(first: Build, tmp_path: Path, quiet_trainer: Build) -> None:
    path, _ = first()
    own = ModelCheckpoint(tmp_path / "own", filename="own", every_n_train_steps=1)
    model = tiny()
    options = {"callbacks": [StartFrom(str(path)), own], "enable_checkpointing": True}
    quiet_trainer(max_steps=1, **options).fit(model, clips())
    saved = {name: value.clone() for name, value in model.state_dict().items()}
    path.unlink()  # no longer needed
    again = tiny()
    quiet_trainer(max_steps=1, **options).fit(again, clips(), ckpt_path=tmp_path / "own" / "own.ckpt")
    assert all(torch.equal(value, saved[name]) for name, value in again.state_dict().items())


def test_weights_that_do_not_fit_are_named(first: Build, quiet_trainer: Build) -> None:
    path, _ = first()
    trainer = quiet_trainer(max_steps=1, callbacks=[StartFrom(str(path))])
    with pytest.raises(MisconfigurationException, match=r"context_encoder.blocks.1.* differ\. Build it with the same"):
        trainer.fit(tiny(depth=2), clips())


def test_a_missing_checkpoint_is_named(quiet_trainer: Build) -> None:
    trainer = quiet_trainer(max_steps=1, callbacks=[StartFrom("none.ckpt")])
    with pytest.raises(MisconfigurationException, match=r"StartFrom: there is no none\.ckpt"):
        trainer.fit(tiny(), clips())


def test_an_empty_name_is_not_the_working_directory() -> None:
    with pytest.raises(ValueError, match="StartFrom: path= is out of range: give a name"):
        StartFrom("")
    with pytest.raises(ValueError, match="VJEPA: start_from= is out of range: give a name"):
        tiny(start_from="")
