"""A new run that starts from the weights of another one."""

from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning_utilities.core.rank_zero import rank_zero_info

from jepa_lightning.checkpoints import read_shards

TABLES = ("pos_embed", "predictor_pos_embed")


class StartFrom(Callback):
    """Loads the module's weights from a checkpoint of another run at the start of ``fit``; everything else begins anew.

    For a phase with other data, sizes or schedules: V-JEPA 2 cools down on longer clips and higher resolution. Position
    tables of another size are left as this run has made them. ``--ckpt_path`` is for going on with the same run, and
    puts that one's weights in the place of these.

    Args:
        path: a checkpoint of the Trainer, such as ``logs/VJEPA/version_0/checkpoints/last.ckpt``, a file or a folder
            of shards.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Loads, before any strategy takes the weights.

        Raises:
            MisconfigurationException: if the checkpoint's weights are not those of this module.
        """
        path = Path(self.path)
        if stage != "fit" or not path.exists():
            return
        sharded = path.is_dir()
        found = (
            read_shards(path, optimizer=False) if sharded else torch.load(path, map_location="cpu", weights_only=True)
        )
        saved: dict[str, Any] = found["state_dict"]
        own = pl_module.state_dict()
        other = {name for name in {*own, *saved} if _shape(own, name) != _shape(saved, name)}
        wrong = sorted(name for name in other if not name.endswith(TABLES))
        if wrong:
            raise MisconfigurationException(
                f"StartFrom: {self.path} has other weights than {type(pl_module).__name__} as it is built here: "
                f"{', '.join(wrong[:3])}{', ...' if len(wrong) > 3 else ''} differ. Build it with the same encoder, "
                "patches and masks; frames and image size may be others."
            )
        pl_module.load_state_dict({name: value for name, value in saved.items() if name not in other}, strict=False)
        but = f", but for {len(other)} position tables" if other else ""
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
