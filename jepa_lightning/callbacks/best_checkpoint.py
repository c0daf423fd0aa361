"""The best weights by a probe, whatever its labels are."""

from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint

from jepa_lightning.options import Source, check_options
from jepa_lightning.probing.label_kinds import SUFFIXES
from jepa_lightning.probing.scores import metric_name


class BestCheckpoint(ModelCheckpoint):
    """Keeps ``best.ckpt``, the weights with the highest figure of a probe in validation.

    The figure is the accuracy for classes, R2 for values (``val/linear_r2``), and the mean average precision for
    several classes at once (``val/linear_map``), of which the first that is logged counts.

    Args:
        monitor: the probe, as it logs accuracies.
        dirpath: the folder; None takes ``checkpoints`` in the logger's.

    Raises:
        MisconfigurationException: if ``monitor`` is nothing that a validation logs.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import BestCheckpoint, OnlineKNN
        >>> trainer = Trainer(callbacks=[OnlineKNN(), BestCheckpoint("val/knn", "checkpoints")])
    """

    def __init__(self, monitor: Source = "val/linear", dirpath: str | None = None) -> None:
        check_options(type(self), locals())
        if not monitor.startswith("val/"):
            raise MisconfigurationException(
                f"{type(self).__name__}: monitor={monitor} is none of a validation: give a name such as val/linear."
            )
        super().__init__(
            dirpath, filename="best", monitor=monitor, mode="max", save_on_train_epoch_end=False,
            enable_version_counter=False,
        )  # fmt: skip
        self.probe = monitor
        # checkpoints of before have it under this name
        self._state_key = super().state_key.replace(type(self).__qualname__, ModelCheckpoint.__qualname__, 1)

    @property
    def state_key(self) -> str:
        """The name of its state in checkpoints, whichever figure is monitored in the end."""
        return self._state_key

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Finds out what the probe logs, and saves the weights if they are the best."""
        names = [metric_name(self.probe, suffix) for suffix in SUFFIXES]
        self.monitor = next((name for name in names if name in trainer.callback_metrics), self.probe)
        super().on_validation_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the best score, and the figure that it is of."""
        self.monitor = state_dict.get("monitor") or self.probe
        super().load_state_dict(state_dict)
