"""A LightningModule whose checkpoints go from any strategy to any other."""

from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.strategies import FSDPStrategy
from torch import nn
from torch.optim import Optimizer
from typing_extensions import Self

from jepa_lightning.checkpoints.shards import read_shards


class Portable(LightningModule):
    """Saves what every strategy can read, and loads what any has written, be it a file or a folder of shards."""

    @classmethod
    def load_from_checkpoint(cls, checkpoint_path: Any, *args: Any, **kwargs: Any) -> Self:
        """A module with the options and the weights of a checkpoint, as in Lightning.

        Args:
            checkpoint_path: a file, its address, or a folder of shards.
            args: as in Lightning.
            kwargs: as in Lightning.
        """
        if isinstance(checkpoint_path, (str, Path)) and Path(checkpoint_path).is_dir():
            file = BytesIO()
            torch.save(read_shards(Path(checkpoint_path), optimizer=False), file)
            file.seek(0)
            checkpoint_path = file
        module: Self = super().load_from_checkpoint(checkpoint_path, *args, **kwargs)
        return module

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Gives the optimizer's states the names of their parameters."""
        if not isinstance(self.trainer.strategy, FSDPStrategy):  # which numbers them for itself
            # weights may be saved alone
            for state, optimizer in zip(checkpoint.get("optimizer_states", ()), self.trainer.optimizers, strict=False):
                name_states_(state, optimizer, self)


def name_states_(state: dict[str, Any], optimizer: Optimizer, module: nn.Module) -> None:
    """Puts names in the place of numbers in an optimizer's state dict.

    Optimizers go by the order in their groups alone and take either. FSDP takes numbers for places in the module, and
    would give parameters the states of others, since weights and biases are in groups of their own.

    Args:
        state: the state dict; one that has names, or that another rank holds, stays as it is.
        optimizer: whose it is.
        module: whose parameters it moves.
    """
    names = {parameter: name for name, parameter in module.named_parameters()}
    moved: dict[Any, str] = {}
    for saved, group in zip(state.get("param_groups", ()), optimizer.param_groups, strict=False):
        moved.update(zip(saved["params"], (names[parameter] for parameter in group["params"]), strict=True))
        saved["params"] = [moved[number] for number in saved["params"]]
    if moved:
        state["state"] = {moved[number]: values for number, values in state["state"].items()}
