# B batch, N tokens of the grid, Kc Kt kept tokens
"""Random tubes: the same random positions are masked in every frame of a clip.

Source: VideoMAE (arXiv 2203.12602), section 3.2; V-JEPA (arXiv 2404.08471), which compares its blocks with them.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from jepa_lightning.masking.multi_block_3d import check_grid
from jepa_lightning.masking.random_mask import RandomMask
from jepa_lightning.types import Masks


class RandomTubeMask:
    """Draws the context and target tokens of a batch of clips; the targets are one block.

    Args:
        grid_size: tokens along frames, rows and columns.
        ratio: share of the positions that is masked.

    Raises:
        ValueError: if the ratio leaves no position on one side.

    Example:
        >>> from jepa_lightning.masking import RandomTubeMask
        >>> masks = RandomTubeMask((4, 6, 6), ratio=0.75)(batch_size=2)
        >>> masks.context.shape, masks.target.shape  # [B, Kc], [B, M, Kt]
        (torch.Size([2, 36]), torch.Size([2, 1, 108]))
    """

    def __init__(self, grid_size: Sequence[int], ratio: float = 0.9) -> None:
        self.grid_size = check_grid(grid_size)
        self.num_frames, *space = self.grid_size
        self.positions = RandomMask(space, ratio)

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """Draws masks for ``batch_size`` clips; see ``MaskSampler``. Sizes are always the same."""
        return self._tubes(self.positions(batch_size, generator))

    def cover(self) -> list[Masks]:
        """Masks of one sample that together ask for every token, the same at each call; see ``covering_masks``."""
        return [self._tubes(masks) for masks in self.positions.cover()]

    def _tubes(self, masks: Masks) -> Masks:
        """Masks of a frame's positions through time."""
        context, target = masks
        return Masks(self._through_time(context), self._through_time(target.flatten(1))[:, None])

    def _through_time(self, positions: Tensor) -> Tensor:
        """Positions in a frame, ``[B, K]``, to tokens of all frames, ``[B, T * K]``, in order."""
        starts = torch.arange(self.num_frames) * self.positions.num_tokens
        return (starts[:, None] + positions[:, None, :]).flatten(1)
