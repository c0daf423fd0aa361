# B batch, N tokens of the grid, Kc Kt kept tokens
"""Causal masking of clips: the first frames are the context, what comes next is the target."""

from collections.abc import Sequence

import torch

from jepa_lightning.masking.multi_block_3d import check_grid
from jepa_lightning.types import Masks


class CausalMask:
    """Draws how many of the first frames a batch sees, and asks for the frames after them.

    Args:
        grid_size: tokens along frames, rows and columns; a token may stand for several frames of the clip.
        context_frames: fewest and most frames of the grid in the context, or one number for both; drawn once a batch.
        target_frames: frames to predict after them; None is all that are left.

    Raises:
        ValueError: if no frame is left on one side.

    Example:
        >>> from jepa_lightning.masking import CausalMask
        >>> masks = CausalMask((4, 6, 6), context_frames=1)(batch_size=2)
        >>> masks.context.shape, masks.target.shape  # [B, Kc], [B, M, Kt]
        (torch.Size([2, 36]), torch.Size([2, 1, 108]))
    """

    def __init__(
        self, grid_size: Sequence[int], context_frames: int | tuple[int, int], target_frames: int | None = None
    ) -> None:
        self.grid_size = check_grid(grid_size)
        fewest, most = (context_frames, context_frames) if isinstance(context_frames, int) else context_frames
        wanted = 1 if target_frames is None else target_frames
        if wanted < 1 or not 0 < fewest <= most <= self.grid_size[0] - wanted:
            raise ValueError(
                f"context_frames {context_frames} and target_frames {target_frames} do not fit {self.grid_size[0]} "
                "frames: each needs at least one, and together they must not be more."
            )
        self.context_frames, self.target_frames = (fewest, most), target_frames

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """Draws masks for ``batch_size`` clips; see ``MaskSampler``."""
        frames, rows, columns = self.grid_size
        fewest, most = self.context_frames
        seen = int(torch.randint(fewest, most + 1, (1,), generator=sizes or generator))
        end = frames if self.target_frames is None else seen + self.target_frames
        tokens = torch.arange(end * rows * columns).expand(batch_size, -1)
        split = seen * rows * columns
        return Masks(tokens[:, :split].contiguous(), tokens[:, None, split:].contiguous())
