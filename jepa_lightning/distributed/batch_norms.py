"""Statistics of batch norms that ranks have by themselves."""

import torch
from torch import Tensor, nn
from torch import distributed as dist

from jepa_lightning.distributed.samples import world_size

OF_ONE_RANK = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)  # nn.SyncBatchNorm is none of them


def share_statistics_(module: nn.Module) -> None:
    """Gives every rank the running statistics of the first one, in place.

    A batch norm that is not ``nn.SyncBatchNorm`` sees the samples of its rank alone. DDP gives all ranks the statistics
    of the first one before the next forward pass in training, and not before an evaluation or a checkpoint; sharded
    strategies never do, and a checkpoint in shards has those of any rank. So ranks would evaluate with statistics of
    their own, and a resumed run with others than the run that was stopped.

    Args:
        module: of a training step, after its forward pass.
    """
    if world_size() == 1:
        return
    values = [value for norm in module.modules() if isinstance(norm, OF_ONE_RANK) for value in _statistics(norm)]
    if not values:
        return
    joint, sizes = torch.cat(values), [len(value) for value in values]
    dist.broadcast(joint, src=0)
    for value, shared in zip(values, torch.split(joint, sizes), strict=True):
        value.copy_(shared)


def _statistics(norm: nn.Module) -> list[Tensor]:
    found = (norm.running_mean, norm.running_var)
    # .data, since the backward pass refuses tensors that were changed since the forward pass; it needs none of these
    return [value.data for value in found if isinstance(value, Tensor)]
