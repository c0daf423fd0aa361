"""The world model of a checkpoint."""

from pathlib import Path

from jepa_lightning.checkpoints import read_checkpoint
from jepa_lightning.cli.device import chosen_device
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.named_class import named_method, named_network
from jepa_lightning.modules import WorldModel


def load_world_model(path: str, device: str, model: str | None = None, encoder: str | None = None) -> WorldModel:
    """The world model of a checkpoint, in eval mode.

    Args:
        path: of the checkpoint.
        device: where it shall be.
        model: path of the class of the checkpoint, where it is the user's own.
        encoder: path of the class of its encoder, where that is the user's own.

    Raises:
        UsageError: if the device is none, or not there, or there is no such class.
        ValueError: if it is a checkpoint of another class, or none.
    """
    cls = WorldModel if model is None else named_method(model)
    if not issubclass(cls, WorldModel):
        raise UsageError(f"--model {model} is no WorldModel: plans need one.")
    if encoder is not None:
        named_network(encoder)  # imported, so that the checkpoint may be of it
    found: WorldModel = cls.load_from_checkpoint(path, map_location="cpu").to(chosen_device(device))
    return found.eval().requires_grad_(False)


def load_pixel_model(path: str, device: str) -> WorldModel:
    """The world model in pixel space of a checkpoint, to compare with.

    Args:
        path: of the checkpoint.
        device: where it shall be.

    Raises:
        UsageError: if its states are learned ones; further as ``load_world_model``.
    """
    found = load_world_model(path, device)
    if any(True for _ in found.encoder.parameters()):
        raise UsageError(
            f"--pixels {path} is of a model whose encoder has weights, and so is not in pixel space: give one of "
            "configs/world/quickstart_pixels.yaml."
        )
    return found


def step_of(path: Path) -> int:
    """The step of a checkpoint."""
    return int(read_checkpoint(path).get("global_step", 0))
