"""The world model of a checkpoint."""

from pathlib import Path

import torch

from jepa_lightning.checkpoints import read_checkpoint
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.modules import WorldModel


def load_world_model(path: str, device: str) -> WorldModel:
    """The world model of a checkpoint, in eval mode.

    Raises:
        UsageError: if the device is none, or not there.
        ValueError: if it is a checkpoint of another class, or none.
    """
    try:
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise UsageError(f"--device {device} is not there: give cpu, cuda, cuda:1 or auto.") from error
    return WorldModel.load_from_checkpoint(path, map_location="cpu").to(place).eval().requires_grad_(False)


def step_of(path: Path) -> int:
    """The step of a checkpoint."""
    return int(read_checkpoint(path).get("global_step", 0))
