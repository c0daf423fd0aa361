# W ranks, B batch of one rank
"""Samples of all ranks for a loss, and weights that are spread over them."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import CustomPolicy, wrap


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


def data_parallel_mesh(mesh: DeviceMesh) -> DeviceMesh:
    """The axes of a strategy's mesh to shard over: one, behind that of the copies if there are several.

    Raises:
        ValueError: if layers are to be split over ranks too, which would then share their samples.
    """
    names = mesh.mesh_dim_names or ()
    if "tensor_parallel" in names and mesh["tensor_parallel"].size() > 1:
        raise ValueError(
            f"the strategy has tensor_parallel_size {mesh['tensor_parallel'].size()}, and layers are not split here: "
            "use strategy fsdp2, or set data_parallel_size to the number of devices and tensor_parallel_size to 1."
        )
    return mesh if "replicate" in names else mesh["data_parallel"]


def shard_(module: nn.Module, mesh: DeviceMesh) -> None:
    """Shards the networks of a LightningModule in place with FSDP2, from the weights of the first rank.

    Each network is sharded for itself, its blocks first, and lets go of gathered weights after each forward pass. So it
    is used by calling it, and a target that has the structure of its online network lies on the ranks as that does.
    Batch norms become joint where the device can: Lightning's flag for it does not reach this strategy. A module that
    is sharded already stays as it is.

    Args:
        module: with its networks complete, compiled or not, and the optimizer yet to be made.
        mesh: of all ranks; its last axis is sharded over, and along another one there are copies.

    Raises:
        ValueError: if it holds a parameter of its own.
    """
    if any(isinstance(child, FSDPModule) for child in module.children()):
        return
    _refuse_own_parameters(module)
    module.to(mesh.device_type)
    for tensor in (*module.parameters(), *module.buffers()):
        dist.broadcast(tensor.detach(), src=0)
    for name, network in _networks(module).items():
        if mesh.device_type != "cpu":
            network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
            module.register_module(name, network)
        network.register_forward_hook(_not_a_view)  # before FSDP2's own
        for unit in (*sharding_units(network), network):
            # else a target, which has no backward pass, would stay gathered: the moving average would meet both kinds
            fully_shard(unit, mesh=mesh, reshard_after_forward=True)


def wrap_(module: nn.Module) -> None:
    """Wraps the networks of a LightningModule in place with FSDP1, in the same way.

    It does so within the ``model_sharded_context`` of Lightning's ``FSDPStrategy``, in which ``configure_model`` runs,
    and nothing elsewhere.

    Args:
        module: as for ``shard_``.

    Raises:
        ValueError: if it holds a parameter of its own.
    """
    for name, network in _networks(module).items():
        if isinstance(network, FullyShardedDataParallel):
            continue
        for parameter in network.parameters():
            # the shards will be flat, and the optimizer decays matrices, not vectors
            parameter.axes = parameter.ndim  # type: ignore[attr-defined]
        units = set(sharding_units(network))
        policy = CustomPolicy(units.__contains__)
        wrapped = wrap(network, auto_wrap_policy=policy, sync_module_states=True)
        if wrapped is not network:
            _refuse_own_parameters(module)
            # the outermost wrapper lets go of its weights in the backward pass only, which targets have not, and would
            # go on with what it gathered first: so it has none
            module.register_module(name, wrap(wrapped))


def sharding_units(network: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at one time: the elements of the outermost lists inside a network, such as its blocks.

    A network that is a list itself, such as a head, stays whole.
    """
    for child in network.children():
        if isinstance(child, (nn.ModuleList, nn.Sequential)):
            yield from filter(_has_parameters, child)
        else:
            yield from sharding_units(child)


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


def _not_a_view(network: nn.Module, inputs: Any, output: Any) -> Any:
    """The output in memory of its own: FSDP2 gathers weights for the backward pass by hooks that views can lose."""
    return output.clone() if isinstance(output, Tensor) and output._is_view() else output


def _networks(module: nn.Module) -> dict[str, nn.Module]:
    return {name: child for name, child in module.named_children() if _has_parameters(child)}


def _has_parameters(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def _refuse_own_parameters(module: nn.Module) -> None:
    for name, _ in module.named_parameters(recurse=False):
        raise ValueError(
            f"{type(module).__name__}.{name} is a parameter outside of a network, and cannot be sharded: put it into "
            "an nn.Module that is used by calling it."
        )
