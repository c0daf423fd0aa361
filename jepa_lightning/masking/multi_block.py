# B batch, M target blocks, N tokens of the grid, P places of a block, Kc Kt kept tokens
"""Multi-block masking: one large context block, with several smaller target blocks taken out of it.

Source: I-JEPA (arXiv 2301.08243), section 3 and appendix A.1.
"""

import math
from collections.abc import Sequence
from functools import reduce
from operator import or_

import torch
from torch import Tensor

from jepa_lightning.masking.legacy import LegacyMultiBlock
from jepa_lightning.types import Masks

Size = tuple[int, int]

MAX_ROUNDS = 1000


class MultiBlockMask:
    """Draws the context and target tokens of a batch.

    Target blocks may overlap each other; a context is its block without the tokens of all the sample's targets. Block
    sizes are drawn once a batch, places once a sample, uniformly over all that fit, up to the last row and column.
    Contexts are cut, at random, to the shortest of the batch. So their length falls with the batch size (on a 16x16
    grid with the defaults from 118 tokens alone to 89 in a batch of 16 and 75 in one of 256), but never below
    ``min_keep``: samples whose context is shorter are drawn again.

    Args:
        grid_size: tokens along rows and columns, or one number for both.
        context_scale: range of the context block's share of the grid. The block has the proportions of the grid.
        target_scale: range of a target block's share of the grid.
        aspect_ratio: range of a target block's height over its width, in tokens.
        num_targets: M, target blocks a sample.
        min_keep: tokens that every context keeps; raise it to hold up the length of contexts in large batches.
        legacy: draw for draw what the I-JEPA code draws. Scale and aspect come from one number, blocks never reach the
            last row and column, contexts are cut from the end, and must exceed ``min_keep``, as must targets.

    Raises:
        ValueError: if an argument is out of its range, or if blocks of these scales cannot leave a context of
            ``min_keep`` tokens on this grid.
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
        _check_range("context_scale", context_scale, 1.0)
        _check_range("target_scale", target_scale, 1.0)
        _check_range("aspect_ratio", aspect_ratio, math.inf)
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

    def __call__(self, batch_size: int, generator: torch.Generator | None = None) -> Masks:
        """Draws the masks of one batch.

        Args:
            batch_size: B.
            generator: where all chance comes from; None is torch's global one, which in a worker is the worker's own.
                In legacy mode it places blocks, and their sizes follow the count of batches.

        Returns:
            ``[B, Kc]`` and ``[B, M, Kt]``, rising along the last axis.

        Raises:
            ValueError: if some context is still too short after 1000 draws.
        """
        if self._legacy is not None:
            return self._legacy(batch_size, generator)
        scale, aspect, context_scale = torch.rand(3, generator=generator).tolist()
        target_size = self._target_size(_between(self.target_scale, scale), _between(self.aspect_ratio, aspect))
        context_size = self._context_size(_between(self.context_scale, context_scale))
        # columns in a random order of the tokens, so that a context can be cut at random by counting
        order = torch.randperm(math.prod(self.grid_size), generator=generator)
        blocks, contexts = (_all_blocks(self.grid_size, size, order) for size in (target_size, context_size))
        chosen, free = self._draw(batch_size, blocks, contexts, generator)
        short = torch.arange(batch_size)[free.sum(1) < self.min_keep]
        for _ in range(MAX_ROUNDS):
            if not len(short):
                break
            chosen[short], free[short] = self._draw(len(short), blocks, contexts, generator)
            short = short[free[short].sum(1) < self.min_keep]
        else:
            raise ValueError(
                f"{len(short)} of {batch_size} contexts have fewer than min_keep={self.min_keep} tokens after "
                f"{MAX_ROUNDS} draws of {self._blocks_in_words(target_size, context_size)}: "
                "lower min_keep, target_scale or num_targets, or use a larger grid."
            )
        kept = _cut_to_shortest(free, generator).gather(1, order.argsort().expand(batch_size, -1))
        context = kept.nonzero()[:, 1].view(batch_size, -1)
        return Masks(context, _tokens(self.grid_size, target_size)[chosen])

    def _draw(
        self, count: int, blocks: Tensor, contexts: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Places of target blocks ``[count, M]``, and the tokens ``[count, N]`` that they leave to the context."""
        chosen = torch.randint(len(blocks), (count, self.num_targets), generator=generator)
        block = torch.randint(len(contexts), (count,), generator=generator)
        # a chain of "or" over M is six times as fast as any(1)
        covered = reduce(or_, blocks[chosen].unbind(1))
        return chosen, contexts[block] & ~covered

    def _target_size(self, scale: float, aspect: float) -> Size:
        rows, columns = self.grid_size
        area = scale * rows * columns
        height, width = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        return min(max(height, 1), rows), min(max(width, 1), columns)

    def _context_size(self, scale: float) -> Size:
        height, width = (max(round(length * math.sqrt(scale)), 1) for length in self.grid_size)
        return height, width

    def _check_feasible(self) -> None:
        """Refuses a grid on which some draw of sizes leaves no placement that keeps ``min_keep`` tokens."""
        rows, columns = self.grid_size
        if self.target_scale[1] * rows * columns < 1:
            raise ValueError(
                f"target_scale {self.target_scale} is less than one token of a {rows}x{columns} grid: "
                f"raise it to at least {1 / (rows * columns):.3g}, or use a larger grid."
            )
        # the least room: the smallest context, and the largest target of any aspect
        context = self._context_size(self.context_scale[0])
        aspects = (_between(self.aspect_ratio, step / 1000) for step in range(1001))
        target = min(
            {self._target_size(self.target_scale[1], aspect) for aspect in aspects},
            key=lambda size: self._most_left(size, context),
        )
        most = self._most_left(target, context)
        if most < self.min_keep:
            raise ValueError(
                f"{self._blocks_in_words(target, context)} leave at most {most} tokens, fewer than "
                f"min_keep={self.min_keep}: lower min_keep or target_scale, raise context_scale, or use a larger grid."
            )

    def _most_left(self, target: Size, context: Size) -> int:
        """Tokens left to a context block when all targets lie on one place, as far from it as the grid allows."""
        overlaps = (
            max(0, high + low - length) for high, low, length in zip(target, context, self.grid_size, strict=True)
        )
        return math.prod(context) - math.prod(overlaps)

    def _blocks_in_words(self, target: Size, context: Size) -> str:
        sizes = ((self.grid_size, "grid"), (target, "target blocks"), (context, "context block"))
        grid, targets, block = (f"{height}x{width} {name}" for (height, width), name in sizes)
        return f"{self.num_targets} {targets} and a {block} on a {grid}"


def _all_blocks(grid: Size, size: Size, order: Tensor) -> Tensor:
    """Every place of a block on a grid, in raster order: bool ``[P, N]``, tokens in the given order ``[N]``."""
    rows, columns = (
        torch.ones(length - side + 1, length, dtype=torch.bool).triu().tril(side - 1)
        for length, side in zip(grid, size, strict=True)
    )
    return (rows[:, None, order // grid[1]] & columns[None, :, order % grid[1]]).flatten(0, 1)


def _tokens(grid: Size, size: Size) -> Tensor:
    """The tokens of a block at every place on a grid, both in raster order: int64 ``[P, Kt]``."""
    grid_tokens = torch.arange(math.prod(grid)).view(grid)
    windows = grid_tokens.unfold(0, size[0], 1).unfold(1, size[1], 1)
    return windows.flatten(2).flatten(0, 1)


def _cut_to_shortest(free: Tensor, generator: torch.Generator | None) -> Tensor:
    """Keeps as many tokens of each row of bool ``[B, N]`` as the shortest has: a window that starts anywhere and wraps.

    With columns in random order that is a uniform choice of tokens. It takes about a third of the time of the plain
    way, which draws and ranks a number for every token.
    """
    lengths = free.sum(1, keepdim=True, dtype=torch.int32)
    start = (torch.rand(lengths.shape, generator=generator) * lengths).int()
    place = free.cumsum(1, dtype=torch.int32) - start
    place += (place <= 0) * lengths
    return free & (place <= lengths.min())


def _between(limits: tuple[float, float], share: float) -> float:
    return limits[0] + share * (limits[1] - limits[0])


def _check_range(name: str, limits: tuple[float, float], highest: float) -> None:
    if not 0 < limits[0] <= limits[1] <= highest:
        bound = "" if highest == math.inf else f" <= {highest:g}"
        raise ValueError(f"{name} {limits} is no range: give (smallest, largest) with 0 < smallest <= largest{bound}.")
