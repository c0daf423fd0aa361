# W ranks, B batch of one rank
"""What a loss needs to see the samples of all ranks."""

import torch
from torch import Tensor
from torch import distributed as dist
from torch.distributed.nn.functional import all_gather


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
    if world_size() == 1:
        return samples
    joint = torch.cat(all_gather(samples))  # type: ignore[no-untyped-call]
    if joint.requires_grad:
        # torch sends gradients as they lie in memory, so that those of a transposed batch would arrive scrambled
        joint.register_hook(torch.Tensor.contiguous)  # type: ignore[no-untyped-call]
    return joint
