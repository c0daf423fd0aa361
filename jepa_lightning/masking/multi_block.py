# B batch, M target blocks, N tokens of the grid, Kc Kt kept tokens
"""Multi-block masking: one large context block, with several smaller target blocks taken out of it.

Source: I-JEPA (arXiv 2301.08243), section 3 and appendix A.1.
"""

import math
from collections.abc import Sequence
from functools import reduce
from operator import or_

import torch
from torch import Tensor

from jepa_lightning.masking.block_places import Size, block_cover, block_tokens
from jepa_lightning.masking.cut import cut_to_shortest
from jepa_lightning.masking.legacy import LegacyMultiBlock
from jepa_lightning.masking.ranges import between, check_range
from jepa_lightning.types import Masks

TRIALS, LEAST_HITS = 1000, 10  # a grid must pass this at construction
MAX_ROUNDS = 10_000  # at that rate one context in 10^43 would still be too short


class MultiBlockMask:
    """Draws the context and target tokens of a batch.

    Target blocks may overlap each other; a context is its block without the tokens of all the sample's targets. Block
    sizes are drawn once a batch, places once a sample, uniformly over all that fit, up to the last row and column.
    Contexts are cut, at random, to the shortest of the batch. So their length falls with the batch size (on a 16x16
    grid with the defaults from 118 tokens alone to 88 in a batch of 16 and 73 in one of 256), but never below
    ``min_keep``: samples whose context is shorter are drawn again.

    Args:
        grid_size: tokens along rows and columns, or one number for both.
        context_scale: range of the context block's share of the grid. The block has the proportions of the grid.
        target_scale: range of a target block's share of the grid.
        aspect_ratio: range of a target block's height over its width, in tokens; a grid of one row has none.
        num_targets: M, target blocks a sample.
        min_keep: tokens that every context keeps; raise it to hold up the length of contexts in large batches.
        legacy: draw for draw what the I-JEPA code draws. Scale and aspect come from one number, blocks never reach the
            last row and column, contexts are cut from the end, and must exceed ``min_keep``, as must targets.

    Raises:
        ValueError: if an argument is out of its range, or if blocks of these scales leave a context of ``min_keep``
            tokens on this grid never, or less than once in a hundred draws.

    Example:
        >>> import torch
        >>> from jepa_lightning.masking import MultiBlockMask
        >>> masks = MultiBlockMask(14)(batch_size=2, generator=torch.Generator().manual_seed(0))
        >>> masks.target.shape[:2]  # [B, M, Kt]: four blocks a sample
        torch.Size([2, 4])
        >>> bool(torch.isin(masks.context[0], masks.target[0]).any())  # no context token is a target
        False
    """

    def __init__(
        self,
        grid_size: int | Sequence[int],
        context_scale: tuple[float, float] = (0.85, 1.0),
        target_scale: tuple[float, float] = (0.15, 0.2),
        aspect_ratio: tuple[float, float] = (0.75, 1.5),
        num_targets: int = 4,
        min_keep: int = 10,
        legacy: bool = False,
    ) -> None:
        grid = (grid_size, grid_size) if isinstance(grid_size, int) else tuple(grid_size)
        if len(grid) != 2:
            raise ValueError(f"grid_size {grid} has {len(grid)} axes: give rows and columns.")
        rows, columns = grid
        for name, number in (("grid_size", min(rows, columns)), ("num_targets", num_targets), ("min_keep", min_keep)):
            if number < 1:
                raise ValueError(f"{name} {number} is too small: give at least 1.")
        check_range("context_scale", context_scale, 1.0)
        check_range("target_scale", target_scale, 1.0)
        check_range("aspect_ratio", aspect_ratio, math.inf)
        self.grid_size = (rows, columns)
        self.context_scale = context_scale
        self.target_scale = target_scale
        self.aspect_ratio = aspect_ratio
        self.num_targets = num_targets
        self.min_keep = min_keep
        self._legacy: LegacyMultiBlock | None = None
        if legacy:
            self._legacy = LegacyMultiBlock(
                self.grid_size, context_scale, target_scale, aspect_ratio, num_targets, min_keep
            )
        else:
            self._check_feasible()

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """Draws the masks of one batch.

        Args:
            batch_size: B.
            generator: all random numbers; None is torch's global one, which in a worker is the worker's own.
            sizes: where the sizes of blocks come from instead. Without it they follow the count of batches in legacy
                mode.

        Returns:
            ``[B, Kc]`` and ``[B, M, Kt]``, rising along the last axis.

        Raises:
            ValueError: if some context is still too short after 10 000 draws.
        """
        if self._legacy is not None:
            return self._legacy(batch_size, generator, sizes)
        scale, aspect, context_scale = torch.rand(3, generator=sizes or generator).tolist()
        target_size = self._target_size(between(self.target_scale, scale), between(self.aspect_ratio, aspect))
        context_size = self._context_size(between(self.context_scale, context_scale))
        # with the tokens in a random order, a context can be cut at random by counting
        order = torch.randperm(math.prod(self.grid_size), generator=generator)
        blocks, contexts = (block_cover(self.grid_size, size, order) for size in (target_size, context_size))
        places, free = self._draw(batch_size, blocks, contexts, generator)
        short = (free.sum(1) < self.min_keep).nonzero()[:, 0]
        for _ in range(MAX_ROUNDS):
            if not len(short):
                break
            places[short], free[short] = self._draw(len(short), blocks, contexts, generator)
            short = short[free[short].sum(1) < self.min_keep]
        if len(short):
            raise ValueError(
                f"{len(short)} of {batch_size} contexts have fewer than min_keep={self.min_keep} tokens after "
                f"{MAX_ROUNDS} draws of {self._in_words(target_size, context_size)}: "
                "lower min_keep, target_scale or num_targets, or use a larger grid."
            )
        kept = cut_to_shortest(free, generator).gather(1, order.argsort().expand(batch_size, -1))
        context = kept.nonzero()[:, 1].view(batch_size, -1).contiguous()
        # index_select is three times as fast as [places]
        target = block_tokens(self.grid_size, target_size).index_select(0, places.flatten())
        return Masks(context, target.view(batch_size, self.num_targets, -1))

    def _draw(
        self, count: int, blocks: Tensor, contexts: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Places of the target blocks ``[count, M]``, and the tokens they leave to the context, ``[count, N]``."""
        places = torch.randint(len(blocks), (count, self.num_targets), generator=generator)
        context = torch.randint(len(contexts), (count,), generator=generator)
        # a chain of "or" over M is six times as fast as any(1)
        covered = reduce(or_, blocks[places].unbind(1))
        return places, contexts[context] & ~covered

    def _target_size(self, scale: float, aspect: float) -> Size:
        rows, columns = self.grid_size
        area = scale * rows * columns
        if rows == 1:  # a series: blocks have no height to share
            return 1, min(max(round(area), 1), columns)
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        return min(max(height, 1), rows), min(max(width, 1), columns)

    def _context_size(self, scale: float) -> Size:
        if self.grid_size[0] == 1:
            return 1, max(round(self.grid_size[1] * scale), 1)
        height, width = (max(round(length * math.sqrt(scale)), 1) for length in self.grid_size)
        return height, width

    def _check_feasible(self) -> None:
        """Refuses a grid on which contexts of the tightest sizes would hardly ever keep ``min_keep`` tokens."""
        rows, columns = self.grid_size
        if self.target_scale[1] * rows * columns < 1:
            raise ValueError(
                f"target_scale {self.target_scale} is less than one token of a {rows}x{columns} grid: "
                f"raise it to at least {1 / (rows * columns):.3g}, or use a larger grid."
            )
        # the least room: the largest target of any aspect in the smallest context
        aspects = (between(self.aspect_ratio, step / 1000) for step in range(1001))
        target = max((self._target_size(self.target_scale[1], aspect) for aspect in aspects), key=math.prod)
        context = self._context_size(self.context_scale[0])
        in_raster = torch.arange(rows * columns)
        blocks, contexts = (block_cover(self.grid_size, size, in_raster) for size in (target, context))
        left = self._draw(TRIALS, blocks, contexts, torch.Generator().manual_seed(0))[1].sum(1)
        hits = int((left >= self.min_keep).sum())
        if hits < LEAST_HITS:
            raise ValueError(
                f"{self._in_words(target, context)} leave min_keep={self.min_keep} tokens in {hits} of {TRIALS} draws "
                f"and {int(left.max())} at best: lower min_keep, target_scale or num_targets, or use a larger grid."
            )

    def _in_words(self, target: Size, context: Size) -> str:
        """The blocks and their grid, for a message."""
        sizes = ((self.grid_size, "grid"), (target, "target blocks"), (context, "context block"))
        grid, targets, block = (f"{height}x{width} {name}" for (height, width), name in sizes)
        return f"{self.num_targets} {targets} and a {block} on a {grid}"
