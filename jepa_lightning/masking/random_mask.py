# B batch, N tokens of the grid, Kc Kt kept tokens
"""Random masking: each sample keeps a random subset of tokens, and all others are to be predicted.

Source: MAE (arXiv 2111.06377), section 3.
"""

from collections.abc import Sequence
from math import ceil, prod

import torch

from jepa_lightning.masking.cover import masks_of
from jepa_lightning.types import Masks


class RandomMask:
    """Draws the context and target tokens of a batch; the targets are one block.

    Args:
        grid_size: tokens along rows and columns, or one number for both.
        ratio: share of the tokens that is masked.

    Raises:
        ValueError: if the ratio leaves no token on one side.

    Example:
        >>> from jepa_lightning.masking import RandomMask
        >>> masks = RandomMask(8, ratio=0.75)(batch_size=2)
        >>> masks.context.shape, masks.target.shape  # [B, Kc], [B, M, Kt]
        (torch.Size([2, 16]), torch.Size([2, 1, 48]))
    """

    def __init__(self, grid_size: int | Sequence[int], ratio: float = 0.75) -> None:
        self.grid_size = (grid_size, grid_size) if isinstance(grid_size, int) else tuple(grid_size)
        self.num_tokens = prod(self.grid_size)
        self.num_context = round(self.num_tokens * (1 - ratio)) if 0 < ratio < 1 else 0
        if not 0 < self.num_context < self.num_tokens:
            raise ValueError(
                f"a mask ratio of {ratio} on a grid of {self.grid_size} leaves no token to see or none to predict: "
                "give a ratio between 0 and 1, or a finer grid."
            )

    def __call__(
        self, batch_size: int, generator: torch.Generator | None = None, sizes: torch.Generator | None = None
    ) -> Masks:
        """Draws masks for ``batch_size`` samples; see ``MaskSampler``. Sizes are always the same."""
        order = torch.rand(batch_size, self.num_tokens, generator=generator).argsort(dim=1)
        context, target = order[:, : self.num_context], order[:, self.num_context :]
        return Masks(context.sort(dim=1).values, target.sort(dim=1).values[:, None])

    def cover(self) -> list[Masks]:
        """Masks of one sample that together ask for every token, the same at each call; see ``covering_masks``.

        Tokens stand in a circle in a random order, and the targets are windows that start evenly spaced.
        """
        order = torch.randperm(self.num_tokens, generator=torch.Generator().manual_seed(0))
        num_target = self.num_tokens - self.num_context
        number = ceil(self.num_tokens / min(self.num_context, num_target))
        starts = [i * self.num_tokens // number for i in range(number)]
        return [masks_of(order.roll(-start)[None, :num_target].sort().values, self.num_tokens) for start in starts]
