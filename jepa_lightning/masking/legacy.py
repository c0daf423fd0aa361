# B batch, M target blocks, Kc Kt kept tokens
"""Multi-block masking as the I-JEPA code does it, draw for draw, for parity with runs of the reference."""

import math
import multiprocessing
from multiprocessing.context import get_spawning_popen
from typing import Any

import torch
from torch import Tensor

from jepa_lightning.masking.block_places import Size
from jepa_lightning.types import Masks

PATIENCE = 20  # failed context blocks before one more target is ignored


class LegacyMultiBlock:
    """The masks of the I-JEPA code, its oddities included.

    Sizes come from a generator seeded with the count of batches, places from torch's global one. One number sets both
    scale and aspect. A block is always smaller than the grid and its place excludes the last that fits, so the last
    row and column stay empty. Contexts are cut from the end. A context that fails 20 times may overlap the last target
    block, after 20 more the last two, and so on.

    Args:
        grid_size: rows and columns.
        context_scale: range of the context block's share of the grid; the block is square.
        target_scale: range of a target block's share.
        aspect_ratio: range of a target block's height over its width.
        num_targets: M.
        min_keep: tokens that contexts and targets must exceed.

    Raises:
        ValueError: if a block may have no more than ``min_keep`` tokens, which the reference draws forever.
    """

    def __init__(
        self,
        grid_size: Size,
        context_scale: tuple[float, float],
        target_scale: tuple[float, float],
        aspect_ratio: tuple[float, float],
        num_targets: int,
        min_keep: int,
    ) -> None:
        self.grid_size = grid_size
        self.context_scale = context_scale
        self.target_scale = target_scale
        self.aspect_ratio = aspect_ratio
        self.num_targets = num_targets
        self.min_keep = min_keep
        self.count = SharedCount()
        for step in range(1000):
            self._sizes(step / 1000, step / 1000)

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """Draws the masks of one batch; see ``MultiBlockMask``.

        Raises:
            ValueError: if a block has no more than ``min_keep`` tokens.
        """
        if sizes is None:
            sizes = torch.Generator().manual_seed(self.count.next())
        target_size, context_size = self._sizes(*(torch.rand(1, generator=sizes).item() for _ in range(2)))
        samples = [self._sample(target_size, context_size, generator) for _ in range(batch_size)]
        shortest = min(len(context) for context, _ in samples)
        contexts = torch.stack([context[:shortest] for context, _ in samples])
        return Masks(contexts, torch.stack([targets for _, targets in samples]))

    def _sample(
        self, target_size: Size, context_size: Size, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Context ``[Kc]`` and targets ``[M, Kt]`` of one sample."""
        targets = torch.stack([self._block(target_size, generator) for _ in range(self.num_targets)])
        failures = 0
        # ends at the latest when all targets are ignored, since the bare block exceeds min_keep
        while True:
            block = self._block(context_size, generator)
            avoided = targets[: max(self.num_targets - failures // PATIENCE, 0)]
            context = block[~torch.isin(block, avoided)]
            if len(context) > self.min_keep:
                return context, targets
            failures += 1

    def _block(self, size: Size, generator: torch.Generator | None) -> Tensor:
        """Tokens of a block somewhere in the grid, in raster order."""
        rows, columns = self.grid_size
        top = torch.randint(0, rows - size[0], (1,), generator=generator)
        left = torch.randint(0, columns - size[1], (1,), generator=generator)
        return ((top + torch.arange(size[0]))[:, None] * columns + left + torch.arange(size[1])).flatten()

    def _sizes(self, target_share: float, context_share: float) -> tuple[Size, Size]:
        """Block sizes of target and context, from one uniform number each."""
        target = self._size(target_share, self.target_scale, self.aspect_ratio)
        return target, self._size(context_share, self.context_scale, (1.0, 1.0))

    def _size(self, share: float, scale: tuple[float, float], aspect: tuple[float, float]) -> Size:
        rows, columns = self.grid_size
        area = int(rows * columns * (scale[0] + share * (scale[1] - scale[0])))
        ratio = aspect[0] + share * (aspect[1] - aspect[0])
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        height, width = min(height, rows - 1), min(width, columns - 1)
        if height * width <= self.min_keep:
            raise ValueError(
                f"legacy masks on a {rows}x{columns} grid have blocks of {height}x{width} tokens, which must exceed "
                f"min_keep={self.min_keep}: lower min_keep, use a larger grid, or set legacy=False."
            )
        return height, width


class SharedCount:
    """Counts from 0 over all the processes that hold it.

    It lives in shared memory: worker processes inherit it when forked, and are handed it when spawned. Plain pickling
    and copying cannot share memory; each copy then counts on from the same number.
    """

    def __init__(self) -> None:
        self._last = _shared(-1)

    def next(self) -> int:
        """One more than the last number that any process got."""
        with self._last.get_lock():
            self._last.value += 1
            return int(self._last.value)

    def __getstate__(self) -> dict[str, Any]:
        return {"shared": self._last} if get_spawning_popen() else {"last": self._last.value}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._last = state["shared"] if "shared" in state else _shared(state["last"])


def _shared(number: int) -> Any:
    # a lock made for spawned processes serves forked ones too, but not the other way round
    return multiprocessing.get_context("spawn").Value("q", number)
