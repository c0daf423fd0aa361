"""Hyperparameters and what a run has reached with them, side by side."""

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger

PREFIX = "val/"


class HyperparameterMetrics(Callback):
    """Fills TensorBoard's HPARAMS tab at the end of ``fit``: hyperparameters of module and data, and final metrics.

    Each metric of the last validation, such as ``val/linear``, is in the tab as ``final/linear``. Other loggers show
    hyperparameters beside metrics.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from lightning.pytorch.loggers import TensorBoardLogger
        >>> from jepa_lightning.callbacks import HyperparameterMetrics
        >>> trainer = Trainer(logger=TensorBoardLogger("logs"), callbacks=[HyperparameterMetrics()])
    """

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Writes both."""
        metrics = {
            f"final/{name.removeprefix(PREFIX)}": float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith(PREFIX)
        }
        data = trainer.datamodule  # type: ignore[attr-defined]
        options = {**(data.hparams_initial if data is not None else {}), **pl_module.hparams_initial}
        shown = {name: value for name, value in options.items() if not name.startswith("_")}
        for logger in trainer.loggers:
            if isinstance(logger, TensorBoardLogger) and metrics:
                logger.log_hyperparams(shown, metrics, step=trainer.global_step)
