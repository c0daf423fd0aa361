# W ranks, B batch of one rank
"""Samples of all ranks for a loss, with gradients that reach every one of them."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def world_size() -> int:
    """Number of ranks; 1 outside of a distributed run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Number of this rank; 0 outside of a distributed run."""
    return dist.get_rank() if world_size() > 1 else 0


def gather_samples(samples: Tensor) -> Tensor:
    """The samples of all ranks, in the order of the ranks, with gradients that reach every one of them.

    A gradient that arrives at another rank's samples is sent there and summed. DDP then averages over ranks, so a mean
    over each rank's own samples, or a statistic of all that every rank computes alike, gets the gradient that one
    process would have on the joint batch.

    Args:
        samples: ``[B, ...]``, with the same B on every rank.

    Returns:
        ``[W * B, ...]``; the samples themselves where there is one rank.
    """
    return samples if world_size() == 1 else _Gather.apply(samples)


def sum_over_ranks(values: Tensor, same_gradient: bool = False) -> Tensor:
    """The sum of a tensor over all ranks, with gradients that reach every one of them, as in ``gather_samples``.

    Args:
        values: of one shape on every rank, for example the sums of a statistic.
        same_gradient: every rank makes the same scalar of the sum, as of a statistic of the joint batch. All ranks then
            have the same gradient, so the backward pass sends nothing.

    Returns:
        The same on every rank; the values themselves where there is one rank.
    """
    return values if world_size() == 1 else _Sum.apply(values, same_gradient)


class _Gather(torch.autograd.Function):
    """Joint samples of all ranks; each rank's gets the sum of the gradients that they get on any rank.

    ``torch.distributed.nn.functional.all_gather`` gives wrong gradients where they arrive transposed.
    """

    @staticmethod
    def forward(ctx: Any, samples: Tensor) -> Tensor:
        parts = [torch.empty_like(samples, memory_format=torch.contiguous_format) for _ in range(world_size())]
        dist.all_gather(parts, samples.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        own = gradient.new_empty(len(gradient) // world_size(), *gradient.shape[1:])
        # earlier versions of torch have it under the second name alone
        reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor
        reduce_scatter(own, gradient.contiguous())
        return own


class _Sum(torch.autograd.Function):
    """A sum over ranks; each rank's part gets the sum of the gradients, W times its own where all are the same."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, same_gradient: bool) -> Tensor:
        ctx.same_gradient = same_gradient
        return _reduced(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return world_size() * gradient if ctx.same_gradient else _reduced(gradient), None


def _reduced(values: Tensor) -> Tensor:
    # a copy in the order of its axes: collectives send numbers as they lie in memory
    total = values.clone(memory_format=torch.contiguous_format)
    dist.all_reduce(total)
    return total
