from typing import Protocol

import torch

from jepa_lightning.types import Masks


class MaskSampler(Protocol):
    """Draws the masks of one batch; called at collate time, so it must survive pickling into a worker."""

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """Draws masks for ``batch_size`` samples.

        Args:
            batch_size: B.
            generator: random numbers of each sample; None is torch's global one.
            sizes: random numbers that a whole batch shares, such as the size of blocks: ranks with the same ones have
                about equal work. None takes ``generator``.
        """
        ...
