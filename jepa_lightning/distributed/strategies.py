"""Strategies for the Trainer, by name."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from lightning.pytorch.strategies import ModelParallelStrategy, StrategyRegistry
from torch.distributed.constants import default_pg_timeout
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from jepa_lightning.checkpoints import check_resumable, read_checkpoint


class FSDP2Strategy(ModelParallelStrategy):
    """FSDP2 over all devices of all nodes: ``Trainer(strategy="fsdp2")``.

    Lightning's ``ModelParallelStrategy`` does the same with ``data_parallel_size`` set to the number of devices and
    ``tensor_parallel_size`` to 1; by default it would split every layer over the devices of a node, which the modules
    here do not.

    Args:
        replicas: copies of the sharded weights, each spread over its share of the devices, with gradients averaged over
            the copies. As many as there are nodes keeps the gathering of weights within a node, where links are fast.
        save_distributed_checkpoint: each rank saves its shard, into a folder; else rank 0 gathers all into one file.
        process_group_backend: of the collectives; None takes the device's.
        timeout: after which a collective fails.

    Raises:
        ValueError: if there is to be no copy, or, once processes have met, if the devices cannot be shared out evenly.

    Example:
        >>> from jepa_lightning import FSDP2Strategy
        >>> strategy = FSDP2Strategy(replicas=2)  # Trainer(strategy=strategy, num_nodes=2)
        >>> strategy.replicas
        2
    """

    def __init__(
        self,
        replicas: int = 1,
        save_distributed_checkpoint: bool = True,
        process_group_backend: str | None = None,
        timeout: timedelta = default_pg_timeout,
    ) -> None:
        super().__init__(
            save_distributed_checkpoint=save_distributed_checkpoint,
            process_group_backend=process_group_backend,
            timeout=timeout,
        )
        if replicas < 1:
            raise ValueError(f"replicas={replicas}: there is at least one copy of the weights.")
        self.replicas = replicas
        self._mesh: DeviceMesh | None = None

    @property
    def device_mesh(self) -> DeviceMesh:
        """All ranks along ``data_parallel``, which shards, behind ``replicate`` where there are several copies."""
        if self._mesh is None:
            size = super().device_mesh.size()
            if size % self.replicas:
                raise ValueError(f"{size} devices cannot be shared out to {self.replicas} replicas evenly.")
            shape, names = (self.replicas, size // self.replicas), ("replicate", "data_parallel")
            first = 0 if self.replicas > 1 else 1
            self._mesh = init_device_mesh(self.root_device.type, shape[first:], mesh_dim_names=names[first:])
        return self._mesh

    def load_checkpoint(self, checkpoint_path: str | Path, weights_only: bool | None = None) -> dict[str, Any]:
        """Reads a file or a folder of shards, after a check that it holds plain data alone.

        Args:
            checkpoint_path: The checkpoint.
            weights_only: None is True here.

        Raises:
            ValueError: If it is damaged, of another code base, or holds more than plain data.
        """
        path = Path(checkpoint_path)
        checkpoint = read_checkpoint(path)  # torch's reader of shards takes any pickle
        if self.optimizers:
            check_resumable(checkpoint, self.optimizers)
        found: dict[str, Any] = super().load_checkpoint(path, weights_only is not False)
        return found

    @property
    def distributed_sampler_kwargs(self) -> dict[str, Any]:
        """Every rank has samples of its own."""
        return {"num_replicas": self.world_size, "rank": self.global_rank}


StrategyRegistry.register("fsdp2", FSDP2Strategy, description="FSDP2 over all devices")
