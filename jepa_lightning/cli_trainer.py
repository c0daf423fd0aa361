"""The Trainer of the command line."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from jepa_lightning.callbacks import FeatureWriter, LastCheckpoint
from jepa_lightning.checkpoints import save_whole


class CLITrainer(Trainer):
    """A Trainer whose checkpoints appear whole or not at all, and whose ``predict`` writes features to a file."""

    def save_checkpoint(self, filepath: Any, weights_only: bool | None = None, storage_options: Any = None) -> None:
        """Saves, and puts the checkpoint under its name when all ranks have written their part.

        What Lightning saves when SLURM requeues the job (``hpc_ckpt_N.ckpt``, one more each time) becomes
        ``last.ckpt``, so that there is one checkpoint to go on from.

        Args:
            filepath: The checkpoint's name.
            weights_only: Leave optimizer and callbacks out.
            storage_options: As in Lightning.
        """
        last = next((kept for kept in self.checkpoint_callbacks if isinstance(kept, LastCheckpoint)), None)
        if last is not None and Path(filepath).name.startswith("hpc_ckpt_"):
            filepath = last.path
        save = super().save_checkpoint
        save_whole(self, filepath, lambda path: save(path, weights_only, storage_options))

    def predict(  # type: ignore[override]  # the command line's options are the arguments
        self,
        model: Any = None,
        dataloaders: Any = None,
        datamodule: Any = None,
        features: str = "features.npz",
        ckpt_path: str | None = None,
        weights_only: bool | None = None,
    ) -> None:
        """Write the features of every sample, with labels and paths, to a file.

        Args:
            model: The model to predict with.
            dataloaders: Samples to predict.
            datamodule: Samples to predict.
            features: File to write, .npz or .safetensors.
            ckpt_path: Path of the checkpoint to take weights and options from, or "last".
            weights_only: As in ``fit``.
        """
        self.callbacks.append(FeatureWriter(features))  # type: ignore[attr-defined]
        super().predict(
            model, dataloaders, datamodule, return_predictions=False, ckpt_path=ckpt_path, weights_only=weights_only
        )
