# B batch, Q keys in the queue, P projection width
"""A queue of earlier keys."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class KeyQueue(nn.Module):
    """The last Q keys; the oldest leave first. Source: MoCo, arXiv 1911.05722, algorithm 1.

    It starts with random directions. Every rank puts in the same joint keys in the same order, so all hold the same.

    Args:
        size: Q.
        width: P.

    Example:
        >>> import torch
        >>> from jepa_lightning.nn import KeyQueue
        >>> queue = KeyQueue(size=4, width=2)
        >>> queue(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        >>> queue.keys[:2]
        tensor([[1., 0.],
                [0., 1.]])
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        self.register_buffer("keys", F.normalize(torch.randn(size, width), dim=1))
        self.register_buffer("place", torch.zeros((), dtype=torch.int64))
        self.keys: Tensor
        self.place: Tensor

    @torch.no_grad()
    def forward(self, keys: Tensor) -> None:
        """Puts ``[B, P]`` keys in, in their order; of more than Q the last Q."""
        size = len(self.keys)
        newest = keys[-size:].to(self.keys.dtype)
        skipped = len(keys) - len(newest)
        places = (self.place + skipped + torch.arange(len(newest), device=keys.device)) % size
        self.keys[places] = newest
        self.place.copy_((self.place + len(keys)) % size)
