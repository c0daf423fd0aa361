# B batch, N tokens of the grid, Kc Kt kept tokens
"""Multi-block masking of clips as the V-JEPA code does it, draw for draw, for parity with runs of the reference."""

import math

import torch
from torch import Tensor

from jepa_lightning.masking.legacy import SharedCount
from jepa_lightning.types import Masks


class LegacyMultiBlock3D:
    """The masks of the V-JEPA code, its oddities included.

    The size of the blocks comes from a generator seeded with the count of batches, places from torch's global one:
    row, column, frame. Contexts and targets are cut to the shortest of the batch from the end, where the last frames
    are.

    Args:
        grid_size: frames, rows and columns.
        num_blocks: blocks a sample.
        spatial_scale: range of a block's share of rows times columns.
        temporal_scale: range of its share of the frames.
        aspect_ratio: range of its height over its width.
        context_frames: from this frame on, all is target.
        max_keep: tokens that a context is cut to.

    Raises:
        ValueError: if a block may be empty.
    """

    def __init__(
        self,
        grid_size: tuple[int, int, int],
        num_blocks: int,
        spatial_scale: tuple[float, float],
        temporal_scale: tuple[float, float],
        aspect_ratio: tuple[float, float],
        context_frames: int,
        max_keep: int | None,
    ) -> None:
        self.grid_size, self.num_blocks = grid_size, num_blocks
        self.ranges = (temporal_scale, spatial_scale, aspect_ratio)
        self.context_frames, self.max_keep = context_frames, max_keep
        self.count = SharedCount()
        for step in range(1001):
            ratio = aspect_ratio[0] + step / 1000 * (aspect_ratio[1] - aspect_ratio[0])
            if 0 in self._size(temporal_scale[0], spatial_scale[0], ratio):
                raise ValueError(
                    f"spatial_scale {spatial_scale} has blocks without a token on a grid of {grid_size}: "
                    "raise it, use a larger grid, or set legacy=False."
                )

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """Draws the masks of one batch; see ``MultiBlock3DMask``."""
        if sizes is None:
            sizes = torch.Generator().manual_seed(self.count.next())
        time, space, ratio = (low + torch.rand(1, generator=sizes).item() * (high - low) for low, high in self.ranges)
        size = self._size(time, space, ratio)
        samples = [self._sample(size, generator) for _ in range(batch_size)]
        contexts, targets = zip(*samples, strict=True)
        context_length = min(len(context) for context in contexts)
        if self.max_keep is not None:
            context_length = min(context_length, self.max_keep)
        target_length = min(len(target) for target in targets)
        return Masks(
            torch.stack([context[:context_length] for context in contexts]),
            torch.stack([target[None, :target_length] for target in targets]),
        )

    def _sample(self, size: tuple[int, int, int], generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
        """Context ``[Kc]`` and target ``[Kt]`` of one sample."""
        frames, rows, columns = self.grid_size
        duration, height, width = size
        # ends: a grid whose blocks hardly ever leave a context is refused before
        while True:
            free = torch.ones(self.grid_size, dtype=torch.bool)
            for _ in range(self.num_blocks):
                top = torch.randint(0, rows - height + 1, (1,), generator=generator).item()
                left = torch.randint(0, columns - width + 1, (1,), generator=generator).item()
                start = torch.randint(0, frames - duration + 1, (1,), generator=generator).item()
                free[start : start + duration, top : top + height, left : left + width] = False
            free[self.context_frames :] = False
            if free.any():
                return free.flatten().nonzero()[:, 0], (~free).flatten().nonzero()[:, 0]

    def _size(self, time: float, space: float, ratio: float) -> tuple[int, int, int]:
        frames, rows, columns = self.grid_size
        area = int(rows * columns * space)
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        return max(1, int(frames * time)), min(height, rows), min(width, columns)
