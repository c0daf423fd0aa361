"""Training of an encoder within a protocol: from a copy of its weights, in a folder that a later call continues."""

from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

from jepa_lightning.callbacks import LastCheckpoint
from jepa_lightning.checkpoints import class_path, read_checkpoint
from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.modules import JEPAModule
from jepa_lightning.modules.checkpoint_encoder import CheckpointEncoder, method_options


def copied_encoder(module: JEPAModule, drop_path: float) -> CheckpointEncoder:
    """A copy of the encoder of a module, to be trained.

    Args:
        module: whose ``eval_encoder`` it is; it stays as it is.
        drop_path: of the copy, where the method has that option.
    """
    options = method_options(module)
    if "drop_path" in options:
        options["drop_path"] = drop_path
    found = CheckpointEncoder(class_path(type(module)), options)
    found.network.load_state_dict(module.eval_encoder.state_dict())
    return found


def fit_in(
    folder: Path,
    module: LightningModule,
    data: JEPADataModule,
    device: torch.device,
    epochs: int,
    steps: int | None = None,
    callbacks: Sequence[Callback] = (),
) -> None:
    """Trains a module; where a run of the same folder was stopped, it continues there.

    Args:
        folder: for checkpoints, of this training alone.
        module: is trained in place.
        data: to train on.
        device: where.
        epochs: passes over the data,
        steps: or as many steps, if these are fewer.
        callbacks: beside the one that keeps checkpoints.
    """
    gpu, last = device.type == "cuda", folder / "last.ckpt"
    trainer = Trainer(
        max_epochs=epochs,
        max_steps=-1 if steps is None else steps,
        accelerator="gpu" if gpu else "cpu",
        devices=[device.index or 0] if gpu else 1,
        logger=False,
        callbacks=[LastCheckpoint(str(folder)), *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        limit_val_batches=0,
        default_root_dir=folder,
    )
    before = read_checkpoint(last)["global_step"] if last.exists() else None
    trainer.fit(module, datamodule=data, ckpt_path=None if before is None else last)
    if trainer.global_step == before:  # Lightning leaves out the end too, at which an average replaces the weights
        module.load_state_dict(read_checkpoint(last)["state_dict"])
