"""A new run that starts from the weights of another one."""

from pathlib import Path
from typing import Any

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_info

from jepa_lightning.checkpoints import read_checkpoint, read_shards, tables_of_another_size


class StartFrom(Callback):
    """Loads the module's weights from a checkpoint of another run at the start of ``fit``; all else is as in a new run.

    For a phase with other data, sizes or schedules: V-JEPA 2 cools down on longer clips and higher resolution. Position
    tables that are computed are left as this run has made them where they have another size. ``--ckpt_path`` is for
    resuming the same run, and puts that run's weights in the place of these.

    Args:
        path: a checkpoint of the Trainer, such as ``logs/VJEPA/version_0/checkpoints/last.ckpt``, a file or a folder
            of shards.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import StartFrom
        >>> trainer = Trainer(callbacks=[StartFrom("logs/VJEPA/version_0/checkpoints/last.ckpt")])
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Loads, before any strategy takes the weights.

        Raises:
            MisconfigurationException: if the checkpoint's weights are not those of this module.
            ValueError: if it is damaged, of another code base, or holds more than plain data.
        """
        path = Path(self.path)
        if stage != "fit" or not path.exists():
            return
        found = read_shards(path, optimizer=False) if path.is_dir() else read_checkpoint(path)
        saved: dict[str, Any] = found["state_dict"]
        own = pl_module.state_dict()
        tables = tables_of_another_size(saved, pl_module)
        wrong = sorted(name for name in {*own, *saved} - tables if _shape(own, name) != _shape(saved, name))
        if wrong:
            raise MisconfigurationException(
                f"StartFrom: {self.path} has other weights than {type(pl_module).__name__} as it is built here: "
                f"{', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''} differ. Build it with the same encoder, "
                "patches and masks; frames and image size may be others."
            )
        pl_module.load_state_dict({name: value for name, value in saved.items() if name not in tables}, strict=False)
        but = f", but for {len(tables)} position tables" if tables else ""
        rank_zero_info(f"Started from the weights of {self.path}{but}.")

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Refuses to start from nothing; a run that is resumed no longer needs the checkpoint.

        Raises:
            MisconfigurationException: if there is no such checkpoint.
        """
        if trainer.ckpt_path is None and not Path(self.path).exists():
            raise MisconfigurationException(f"StartFrom: there is no checkpoint {self.path}.")


def _shape(state: dict[str, Any], name: str) -> Any:
    return state[name].shape if name in state else None
