# B batch of one rank, G joint batch of all ranks, D width, Q queue
"""Contrastive losses: pick the other view of an image among those of all images."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from jepa_lightning.distributed import gather_samples, rank
from jepa_lightning.losses.samples import check_samples


def nt_xent_loss(a: Tensor, b: Tensor, temperature: float = 0.1, gather: bool = False) -> Tensor:
    """Normalized temperature-scaled cross-entropy: for both views, the other one among the 2G - 1 others.

    Source: SimCLR, arXiv 2002.05709, equation 1, averaged over all 2B views.

    Args:
        a: ``[B, D]`` projections of one view, of any length; only directions count.
        b: ``[B, D]`` those of the other.
        temperature: divides the cosines.
        gather: take negatives from all ranks, G images; without it G is B.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if there is a single image, the shapes differ, or the temperature is not above 0.
    """
    check_pair("nt_xent_loss", a, b, temperature)
    views = [_directions(a), _directions(b)]
    first, second = [gather_samples(view) if gather else view for view in views]
    check_samples("nt_xent_loss", first)
    own, size = _own_columns(views[0], gather), len(first)
    every = torch.cat([first, second])
    losses = []
    for view, itself, positive in ((views[0], own, own + size), (views[1], own + size, own)):
        logits = _product(view, every) / temperature
        losses.append(F.cross_entropy(logits.scatter(1, itself[:, None], -torch.inf), positive))
    return torch.stack(losses).mean()


def info_nce_loss(
    queries: Tensor, keys: Tensor, temperature: float = 0.2, queue: Tensor | None = None, gather: bool = False
) -> Tensor:
    """Cross-entropy of each query's own key among others: those in a queue, or those of the other images.

    Source: MoCo v2 (arXiv 2003.04297) with a queue; MoCo v3 (arXiv 2104.02057, algorithm 1) without one, whose factor
    of twice the temperature is left to the caller.

    Args:
        queries: ``[B, D]``, of any length; only directions count.
        keys: ``[B, D]``, which get no gradient.
        temperature: divides the cosines.
        queue: ``[Q, D]`` keys of earlier images; None takes the other images' keys as negatives.
        gather: without a queue, take keys from all ranks.

    Returns:
        A scalar in float32.

    Raises:
        ValueError: if the shapes do not fit, the temperature is not above 0, or a single image has no queue.
    """
    check_pair("info_nce_loss", queries, keys, temperature)
    query, key = _directions(queries), _directions(keys.detach())
    if queue is not None:
        if queue.ndim != 2 or queue.shape[1] != queries.shape[1]:
            raise ValueError(
                f"info_nce_loss: a queue of shape {tuple(queue.shape)} does not fit keys of shape {tuple(keys.shape)}."
            )
        positive = (query * key).sum(dim=1, keepdim=True)
        logits = torch.cat([positive, _product(query, _directions(queue.detach()))], dim=1) / temperature
        return F.cross_entropy(logits, torch.zeros(len(query), dtype=torch.int64, device=query.device))
    joint = gather_samples(key) if gather else key
    check_samples("info_nce_loss", joint)
    return F.cross_entropy(_product(query, joint) / temperature, _own_columns(query, gather))


class NTXent(nn.Module):
    """``nt_xent_loss`` with its options.

    Args:
        temperature: divides the cosines.
        gather: take negatives from all ranks.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import NTXent
        >>> features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> loss = NTXent(temperature=0.1)
        >>> loss(features, features) < loss(features, features.roll(1, 0))  # the right pairs are closer
        tensor(True)
    """

    def __init__(self, temperature: float = 0.1, gather: bool = False) -> None:
        super().__init__()
        self.temperature, self.gather = temperature, gather

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Loss of two views' ``[B, D]`` projections: a scalar."""
        return nt_xent_loss(a, b, self.temperature, self.gather)


class InfoNCE(nn.Module):
    """``info_nce_loss`` with its options.

    Args:
        temperature: divides the cosines.
        gather: without a queue, take keys from all ranks.

    Example:
        >>> import torch
        >>> from jepa_lightning.losses import InfoNCE
        >>> features = torch.randn(8, 4, generator=torch.Generator().manual_seed(0))
        >>> loss = InfoNCE(temperature=0.2)
        >>> loss(features, keys=features) < loss(features, keys=features.roll(1, 0))
        tensor(True)
    """

    def __init__(self, temperature: float = 0.2, gather: bool = False) -> None:
        super().__init__()
        self.temperature, self.gather = temperature, gather

    def forward(self, queries: Tensor, keys: Tensor, queue: Tensor | None = None) -> Tensor:
        """Loss of ``[B, D]`` queries and keys: a scalar."""
        return info_nce_loss(queries, keys, self.temperature, queue, self.gather)


def check_pair(name: str, a: Tensor, b: Tensor, temperature: float = 1.0) -> None:
    """Checks two views' projections.

    Raises:
        ValueError: if they are not two of the same ``[B, D]``, or the temperature is not above 0.
    """
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"{name} takes two tensors of one shape [B, D], got {tuple(a.shape)} and {tuple(b.shape)}.")
    if temperature <= 0:
        raise ValueError(f"{name} needs a temperature above 0, got {temperature}.")


def _directions(samples: Tensor) -> Tensor:
    return F.normalize(samples.float(), dim=1)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """``a @ b.T`` in float32: autocast would round cosines that a small temperature then blows up."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b.T


def _own_columns(samples: Tensor, gather: bool) -> Tensor:
    """Where this rank's samples are in the joint batch: int64 ``[B]``."""
    start = rank() * len(samples) if gather else 0
    return torch.arange(start, start + len(samples), device=samples.device)
