"""How Lightning writes and reads a checkpoint, where the strategy leaves that to a plugin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from jepa_lightning.checkpoints.shards import read_shards
from jepa_lightning.checkpoints.whole import appearing


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and reads folders of shards as well as files.

    Lightning's own holds a second copy in memory, writes it to the system's folder for temporary files, and moves it:
    between two disks that is a copy under the final name, which a kill leaves half-written. With this one, single
    devices and ddp go on from what FSDP2 has written. The command line uses it; in Python it is
    ``Trainer(plugins=[CheckpointFiles()])``.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a file, whole or not at all; what is no local path goes Lightning's way."""
        if "://" in str(path) or storage_options is not None:
            super().save_checkpoint(checkpoint, path, storage_options)
            return
        with appearing(Path(path)) as place, place.open("wb") as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: Callable[..., Any] | None = lambda storage, location: storage,
        weights_only: bool | None = None,
    ) -> dict[str, Any]:
        """Reads a file, or a folder of shards into one."""
        if Path(path).is_dir():
            return read_shards(Path(path))
        return super().load_checkpoint(path, map_location, weights_only)
