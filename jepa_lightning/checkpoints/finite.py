"""Whether the weights of a module are worth saving."""

import torch
from torch import Tensor, nn


def is_finite(module: nn.Module) -> bool:
    """Whether all parameters of a module are finite, and no buffer is NaN; a buffer such as a mask may be infinite.

    Of sharded parameters a rank answers for its own shard.

    Args:
        module: with weights on any device.
    """
    parameters = [_local(parameter) for parameter in module.parameters()]
    tensors = [*parameters, *map(_local, module.buffers())]
    if not tensors:
        return True
    # one pass at the speed of the memory; a sum that overflows is looked at again
    sums = torch.stack([tensor.sum().float().to(tensors[0].device) for tensor in tensors])
    for i in sums.isfinite().logical_not().nonzero().flatten().tolist():
        wrong = tensors[i].isfinite().logical_not() if i < len(parameters) else tensors[i].isnan()
        if wrong.any():
            return False
    return True


def _local(tensor: Tensor) -> Tensor:
    local: Tensor = getattr(tensor, "to_local", lambda: tensor)()
    return local.detach() if local.is_floating_point() else torch.zeros((), device=local.device)
