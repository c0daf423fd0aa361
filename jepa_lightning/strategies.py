"""Strategies for the Trainer, by name."""

from datetime import timedelta

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch.distributed.constants import default_pg_timeout
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh


class FSDP2Strategy(ModelParallelStrategy):
    """FSDP2 over all devices of all nodes: ``Trainer(strategy="fsdp2")``.

    Lightning's ``ModelParallelStrategy`` does the same with ``data_parallel_size`` set to the number of devices and
    ``tensor_parallel_size`` to 1; by default it would split every layer over the devices of a node, which the modules
    here do not.

    Args:
        save_distributed_checkpoint: each rank saves its shard, into a folder; else rank 0 gathers all into one file.
        process_group_backend: of the collectives; None takes the device's.
        timeout: after which a collective fails.
    """

    def __init__(
        self,
        save_distributed_checkpoint: bool = True,
        process_group_backend: str | None = None,
        timeout: timedelta = default_pg_timeout,
    ) -> None:
        super().__init__(
            save_distributed_checkpoint=save_distributed_checkpoint,
            process_group_backend=process_group_backend,
            timeout=timeout,
        )
        self._mesh: DeviceMesh | None = None

    @property
    def device_mesh(self) -> DeviceMesh:
        """All ranks along one axis, ``data_parallel``."""
        if self._mesh is None:
            size = super().device_mesh.size()
            self._mesh = init_device_mesh(self.root_device.type, (size,), mesh_dim_names=("data_parallel",))
        return self._mesh


StrategyRegistry.register("fsdp2", FSDP2Strategy, description="FSDP2 over all devices")
