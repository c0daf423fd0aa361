# B batch, M blocks, T H W frames, rows, columns of tokens, N tokens of the grid, Kc Kt kept tokens
"""Multi-block masking of clips: blocks of space, through all of time, are predicted from what is left around them.

Source: V-JEPA (arXiv 2404.08471), section 3.2 and appendix.
"""

import math
from collections.abc import Sequence
from functools import reduce
from operator import or_

import torch
from torch import Tensor

from jepa_lightning.masking.cut import cut_to_shortest
from jepa_lightning.masking.legacy_3d import LegacyMultiBlock3D
from jepa_lightning.masking.ranges import between, check_range
from jepa_lightning.types import Masks

TRIALS, LEAST_HITS = 1000, 10  # as for images: a grid must pass this at construction
MAX_ROUNDS = 10_000
Size3D = tuple[int, int, int]


class MultiBlock3DMask:
    """Draws the context and target tokens of a batch of clips; all blocks of a sample are one target.

    The size of the blocks is drawn once a batch, their places once a sample, uniformly over all that fit. Context is
    what no block covers. Contexts and targets are cut to the shortest of the batch at random, so that no frame loses
    more than another; tokens that are cut belong to neither. V-JEPA trains with 8 blocks of .15 (short range) and 2 of
    .7 (long range), each step with both.

    Args:
        grid_size: tokens along frames, rows and columns.
        num_blocks: M.
        spatial_scale: range of a block's share of rows times columns.
        temporal_scale: range of a block's share of the frames.
        aspect_ratio: range of a block's height over its width, in tokens.
        context_share: share of the frames, from the first on, that the context may lie in; all later ones are target.
        max_keep: tokens that a context is cut to where it has more.
        min_keep: tokens that every context keeps; samples that have fewer are drawn again.
        legacy: draw for draw what the V-JEPA code draws: contexts and targets are cut from the end, which starves the
            last frames. ``min_keep`` is 1 then.

    Raises:
        ValueError: if an argument is out of its range, or if blocks of these scales leave a context of ``min_keep``
            tokens on this grid never, or less than once in a hundred draws.

    Example:
        >>> import torch
        >>> from jepa_lightning.masking import MultiBlock3DMask
        >>> masks = MultiBlock3DMask((4, 14, 14))(batch_size=2, generator=torch.Generator().manual_seed(0))
        >>> masks.target.shape[:2]  # [B, M, Kt]: all blocks of a sample are one target
        torch.Size([2, 1])
    """

    def __init__(
        self,
        grid_size: Sequence[int],
        num_blocks: int = 8,
        spatial_scale: tuple[float, float] = (0.15, 0.15),
        temporal_scale: tuple[float, float] = (1.0, 1.0),
        aspect_ratio: tuple[float, float] = (0.75, 1.5),
        context_share: float = 1.0,
        max_keep: int | None = None,
        min_keep: int = 10,
        legacy: bool = False,
    ) -> None:
        self.grid_size = check_grid(grid_size)
        self.min_keep = 1 if legacy else min_keep
        for name, number, least in (
            ("num_blocks", num_blocks, 1),
            ("min_keep", min_keep, 1),
            ("max_keep", self.min_keep if max_keep is None else max_keep, self.min_keep),
        ):
            if number < least:
                raise ValueError(f"{name} {number} is too small: give at least {least}.")
        check_range("spatial_scale", spatial_scale, 1.0)
        check_range("temporal_scale", temporal_scale, 1.0)
        check_range("aspect_ratio", aspect_ratio, math.inf)
        if not 0 < context_share <= 1:
            raise ValueError(f"context_share {context_share} is not above 0 and up to 1.")
        self.num_blocks, self.max_keep = num_blocks, max_keep
        self.spatial_scale, self.temporal_scale, self.aspect_ratio = spatial_scale, temporal_scale, aspect_ratio
        self.context_frames = max(1, int(self.grid_size[0] * context_share))
        self._check_feasible()
        self._legacy: LegacyMultiBlock3D | None = None
        if legacy:
            self._legacy = LegacyMultiBlock3D(
                self.grid_size, num_blocks, spatial_scale, temporal_scale, aspect_ratio, self.context_frames, max_keep
            )

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
            ``[B, Kc]`` and ``[B, 1, Kt]``, rising along the last axis.

        Raises:
            ValueError: if some context is still too short after 10 000 draws.
        """
        if self._legacy is not None:
            return self._legacy(batch_size, generator, sizes)
        size = self._size(*torch.rand(3, generator=sizes or generator).tolist())
        covered = self._draw(batch_size, size, generator)
        short = ((~covered).sum(1) < self.min_keep).nonzero()[:, 0]
        for _ in range(MAX_ROUNDS):
            if not len(short):
                break
            covered[short] = self._draw(len(short), size, generator)
            short = short[(~covered[short]).sum(1) < self.min_keep]
        if len(short):
            raise ValueError(
                f"{len(short)} of {batch_size} contexts have fewer than min_keep={self.min_keep} tokens after "
                f"{MAX_ROUNDS} draws of {self._in_words(size)}: lower min_keep, spatial_scale or num_blocks."
            )
        # with the tokens in a random order, a window of them is a uniform choice
        order = torch.randperm(covered.shape[1], generator=generator)
        covered = covered[:, order]
        context, target = (_tokens(cut_to_shortest(side, generator), order) for side in (~covered, covered))
        if self.max_keep is not None and context.shape[1] > self.max_keep:
            chosen = torch.rand(context.shape, generator=generator).argsort(dim=1)[:, : self.max_keep]
            context = context.gather(1, chosen.sort(dim=1).values)
        return Masks(context, target[:, None])

    def _draw(self, count: int, size: Size3D, generator: torch.Generator | None) -> Tensor:
        """Which tokens are covered by blocks at random places: bool ``[count, N]``."""
        axes = []
        for length, side in zip(self.grid_size, size, strict=True):
            start = torch.randint(length - side + 1, (count, self.num_blocks, 1), generator=generator)
            place = torch.arange(length)
            axes.append((place >= start) & (place < start + side))  # [count, M, length]
        frames, rows, columns = (axis.unbind(1) for axis in axes)
        covered = reduce(
            or_,
            (
                t[:, :, None, None] & h[:, None, :, None] & w[:, None, None, :]
                for t, h, w in zip(frames, rows, columns, strict=True)
            ),
        )
        covered[:, self.context_frames :] = True
        return covered.flatten(1)

    def _size(self, time: float, space: float, aspect: float) -> Size3D:
        """Frames, rows and columns of a block, from a number in [0, 1] each."""
        frames, rows, columns = self.grid_size
        area = between(self.spatial_scale, space) * rows * columns
        ratio = between(self.aspect_ratio, aspect)
        height, width = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        duration = round(frames * between(self.temporal_scale, time))
        return max(duration, 1), min(max(height, 1), rows), min(max(width, 1), columns)

    def _check_feasible(self) -> None:
        """Refuses a grid on which the largest blocks would hardly ever leave ``min_keep`` tokens."""
        size = max((self._size(1.0, 1.0, step / 100) for step in range(101)), key=math.prod)
        left = (~self._draw(TRIALS, size, torch.Generator().manual_seed(0))).sum(1)
        hits = int((left >= self.min_keep).sum())
        if hits < LEAST_HITS:
            raise ValueError(
                f"{self._in_words(size)} leave min_keep={self.min_keep} tokens in {hits} of {TRIALS} draws and "
                f"{int(left.max())} at best: lower min_keep, spatial_scale or num_blocks, or use a larger grid."
            )

    def _in_words(self, size: Size3D) -> str:
        block, grid = ("x".join(map(str, axes)) for axes in (size, self.grid_size))
        return f"{self.num_blocks} blocks of {block} tokens on a {grid} grid"


def check_grid(grid_size: Sequence[int]) -> Size3D:
    """The grid of a clip: tokens along frames, rows and columns.

    Raises:
        ValueError: if it has other axes, or one is empty.
    """
    if len(grid_size) != 3:
        raise ValueError(f"grid_size {tuple(grid_size)} has {len(grid_size)} axes: give frames, rows and columns.")
    if min(grid_size) < 1:
        raise ValueError(f"grid_size {min(grid_size)} is too small: give at least 1.")
    frames, rows, columns = grid_size
    return frames, rows, columns


def _tokens(kept: Tensor, order: Tensor) -> Tensor:
    """Token indices ``[B, K]`` of what is kept, bool ``[B, N]``, when the tokens stand in another order."""
    return kept[:, order.argsort()].nonzero()[:, 1].view(len(kept), -1).contiguous()
