"""Weights that are spread over ranks, by FSDP2 and FSDP1."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel, fully_shard
from torch.distributed.fsdp.wrap import CustomPolicy, wrap


def data_parallel_mesh(mesh: DeviceMesh) -> DeviceMesh:
    """The axes of a strategy's mesh to shard over: one, behind that of the copies if there are several.

    Args:
        mesh: all ranks of the run.

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

    Each network is sharded for itself, its blocks first, and is resharded after each forward pass. So it is used by
    calling it, and a target that has the structure of its online network has the same shards on each rank.
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


def wrap_(module: nn.Module) -> bool:
    """Wraps the networks of a LightningModule in place with FSDP1, in the same way.

    It does so within the ``model_sharded_context`` of Lightning's ``FSDPStrategy``, in which ``configure_model`` runs,
    and nothing elsewhere.

    Args:
        module: as for ``shard_``.

    Returns:
        Whether it wrapped any.

    Raises:
        ValueError: if it holds a parameter of its own.
    """
    any_wrapped = False
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
            # The outermost unit is resharded in the backward pass alone. A target has none and would keep stale
            # gathered weights, so an outermost unit without weights is put around it.
            module.register_module(name, wrap(wrapped))
            any_wrapped = True
    return any_wrapped


def sharding_units(network: nn.Module) -> Iterator[nn.Module]:
    """What is gathered at one time: the elements of the outermost lists inside a network, such as its blocks.

    A network that is a list itself, such as a head, stays whole.
    """
    for child in network.children():
        if isinstance(child, (nn.ModuleList, nn.Sequential)):
            yield from filter(_has_parameters, child)
        else:
            yield from sharding_units(child)


def _not_a_view(network: nn.Module, inputs: Any, output: Any) -> Any:
    """A copy of an output that is a view: FSDP2 gathers weights for the backward pass by hooks that views can lose."""
    if isinstance(output, tuple):
        return tuple(_not_a_view(network, inputs, each) for each in output)
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
