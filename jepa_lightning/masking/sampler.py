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
            generator: where chance comes from; None is torch's global one.
            sizes: where the chance comes from that a whole batch shares, such as the size of blocks: ranks that have
                the same have equal work. None takes ``generator`` for it.
        """
        ...
