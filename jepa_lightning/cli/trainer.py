"""The Trainer of the command line."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from jepa_lightning.callbacks import FeatureWriter, LastCheckpoint
from jepa_lightning.checkpoints import save_whole


class CLITrainer(Trainer):
    """A Trainer whose checkpoints appear whole or not at all, and whose ``predict`` writes features to a file."""

    run_folder: str | None = None  # of ``fit``; rank 0 knows it first

    @property
    def log_dir(self) -> str | None:
        """The run's folder, whatever the logger. As in Lightning, all ranks ask together."""
        self.run_folder = self.strategy.broadcast(self.run_folder)
        return self.run_folder or super().log_dir

    def save_checkpoint(self, filepath: Any, weights_only: bool | None = None, storage_options: Any = None) -> None:
        """Saves, and puts the checkpoint under its name when all ranks have written their part.

        What Lightning saves when SLURM requeues the job (``hpc_ckpt_N.ckpt``, one more each time) becomes
        ``last.ckpt``, so that there is one checkpoint to resume from.

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

    def fit(self, *args: Any, ckpt_path: str | Path | None = None, **options: Any) -> None:
        """Train a model, in a folder of its own below default_root_dir.

        Args:
            args: As in Lightning.
            ckpt_path: Checkpoint to resume from: its path, "last" for that of the run with the highest number, or
                "auto", which is "last" if there is one and starts a new run otherwise.
            options: As in Lightning.
        """
        super().fit(*args, ckpt_path=ckpt_path, **options)  # type: ignore[misc]  # args may hold it, says mypy

    def validate(self, *args: Any, ckpt_path: str | Path | None = None, **options: Any) -> Any:
        """Measure a model on the validation data.

        Args:
            args: As in Lightning.
            ckpt_path: Checkpoint to take weights and options from: its path, or "last" for that of the run with the
                highest number.
            options: As in Lightning.
        """
        return super().validate(*args, ckpt_path=ckpt_path, **options)  # type: ignore[misc]  # as for ``fit``

    def test(self, *args: Any, ckpt_path: str | Path | None = None, **options: Any) -> Any:
        """Measure a model on the test data.

        Args:
            args: As in Lightning.
            ckpt_path: Checkpoint to take weights and options from: its path, or "last" for that of the run with the
                highest number.
            options: As in Lightning.
        """
        return super().test(*args, ckpt_path=ckpt_path, **options)  # type: ignore[misc]  # as for ``fit``

    def predict(
        self,
        model: Any = None,
        dataloaders: Any = None,
        datamodule: Any = None,
        return_predictions: bool | None = False,
        ckpt_path: str | Path | None = None,
        weights_only: bool | None = None,
        features: str = "features.npz",
        layers: list[int] | None = None,
        tokens: bool = False,
        overwrite: bool = False,
    ) -> Any:
        """Write the features of every sample, with labels and paths, to a file.

        Args:
            model: The model to predict with.
            dataloaders: Samples to predict.
            datamodule: Samples to predict.
            return_predictions: As in Lightning.
            ckpt_path: Checkpoint to take weights and options from: its path, or "last" for that of the run with the
                highest number.
            weights_only: As in Lightning's ``fit``.
            features: File to write, .npz or .safetensors.
            layers: Blocks of the encoder whose outputs are put side by side, such as [-4,-3,-2,-1]; the last one's
                output by default.
            tokens: Write the features of each token too.
            overwrite: Replace the file if it exists.
        """
        writer = FeatureWriter(features, layers, tokens, overwrite)
        self.callbacks.append(writer)  # type: ignore[attr-defined]
        try:
            return super().predict(model, dataloaders, datamodule, return_predictions, ckpt_path, weights_only)
        finally:
            self.callbacks.remove(writer)  # type: ignore[attr-defined]
