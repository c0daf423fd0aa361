"""The device that a command works on."""

import torch

from jepa_lightning.cli.errors import UsageError


def chosen_device(name: str) -> torch.device:
    """A device that is there.

    Args:
        name: ``auto`` is a GPU of NVIDIA where there is one, else the CPU.

    Raises:
        UsageError: if it is none, or not there.
    """
    gone = UsageError(f"--device {name} is not there: give cpu, cuda, cuda:1 or auto.")
    try:
        place = torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
        torch.zeros(1, device=place)
    except (RuntimeError, AssertionError, ImportError) as error:  # torch built without CUDA asserts
        raise gone from error
    if place.type == "meta":  # which holds no values
        raise gone
    return place
