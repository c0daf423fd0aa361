# B batch, A heads, K tokens, E width of a head
"""Keys and values that attention keeps from one step of a rollout to the next."""

import torch
from torch import Tensor


class KeyValues:
    """What one block has computed for the frames that a rollout has behind it.

    Args:
        limit: largest number of tokens to keep, the newest ones.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.seen = 0  # tokens so far, those that have been dropped included
        self._kept: tuple[Tensor, Tensor] | None = None

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """All that new tokens may look at.

        Args:
            keys: of the new tokens, ``[B, A, K, E]``.
            values: of the same shape.

        Returns:
            Keys and values of the new tokens where they are the first ones, or else the newest ``limit`` of all, the
            new ones included.
        """
        self.seen += keys.shape[2]
        if self._kept is not None:
            pairs = zip(self._kept, (keys, values), strict=True)
            keys, values = (torch.cat(pair, dim=2)[:, :, -self.limit :] for pair in pairs)
        self._kept = keys[:, :, -self.limit :], values[:, :, -self.limit :]
        return keys, values


def check_one_at_a_time(past: int, frames: int) -> None:
    """Refuses several frames where a memory holds some: they would see each other in both directions.

    Args:
        past: frames in the memory.
        frames: new ones.

    Raises:
        ValueError: if there are several.
    """
    if past and frames > 1:
        raise ValueError(f"a rollout with a memory of {past} frames takes one frame at a time, got {frames}.")
