from typing import Protocol

import torch

from jepa_lightning.types import Masks


class MaskSampler(Protocol):
    """Draws the masks of one batch; called at collate time, so it must survive pickling into a worker."""

    def __call__(self, batch_size: int, generator: torch.Generator | None = None) -> Masks:
        """Draws masks for ``batch_size`` samples, from torch's global generator where none is given."""
        ...
