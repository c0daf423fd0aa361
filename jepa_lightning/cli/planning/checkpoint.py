"""The world model of a checkpoint."""

from pathlib import Path

from jepa_lightning.checkpoints import read_checkpoint
from jepa_lightning.cli.device import chosen_device
from jepa_lightning.modules import WorldModel


def load_world_model(path: str, device: str) -> WorldModel:
    """The world model of a checkpoint, in eval mode.

    Raises:
        UsageError: if the device is none, or not there.
        ValueError: if it is a checkpoint of another class, or none.
    """
    model = WorldModel.load_from_checkpoint(path, map_location="cpu").to(chosen_device(device))
    return model.eval().requires_grad_(False)


def step_of(path: Path) -> int:
    """The step of a checkpoint."""
    return int(read_checkpoint(path).get("global_step", 0))
