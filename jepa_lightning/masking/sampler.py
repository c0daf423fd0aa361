from typing import Protocol

import torch

from jepa_lightning.types import Masks


class MaskSampler(Protocol):
    """Draws the masks of one batch; called at collate time, so it must survive pickling into a worker.

    Example:
        >>> from jepa_lightning.masking import MaskSampler, RandomMask
        >>> sampler: MaskSampler = RandomMask(8)
        >>> sampler(batch_size=2).target.shape  # [B, M, Kt]
        torch.Size([2, 1, 48])
    """

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
