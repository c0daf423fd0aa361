"""Whether the weights of a module are worth saving."""

import math

import torch
from torch import Tensor, nn


def is_finite(module: nn.Module) -> bool:
    """Whether all parameters of a module are finite, and no buffer is NaN; infinity may be what a buffer stands for.

    Of sharded parameters a rank tells of its own shard.

    Args:
        module: with weights on any device; one value is copied from it.
    """
    good = [_largest(parameter).isfinite() for parameter in module.parameters()]
    good += [_largest(buffer).isnan().logical_not() for buffer in module.buffers()]
    return not good or bool(torch.stack([value.to(good[0].device) for value in good]).all())


def _largest(tensor: Tensor) -> Tensor:
    """The largest absolute value, NaN if there is one, taken without a copy of the tensor."""
    local: Tensor = getattr(tensor, "to_local", lambda: tensor)().detach()
    if not local.is_floating_point() or not local.numel():
        return torch.zeros((), device=local.device)
    largest: Tensor = torch.linalg.vector_norm(local, math.inf)
    return largest.float()
