"""Files of ``torch.save`` that are the same for the same content."""

from pathlib import Path
from typing import Any

import torch


def write_torch(content: Any, place: Path) -> None:
    """Writes plain data and tensors; the name of the file is no part of it.

    Args:
        content: what to save.
        place: the file, which is not there yet.
    """
    with place.open("wb") as file:
        torch.save(content, file)
