"""How Lightning writes and reads a checkpoint, where the strategy leaves that to a plugin."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.plugins.io import TorchCheckpointIO

from jepa_lightning.checkpoints.reading import read_checkpoint
from jepa_lightning.checkpoints.remote import local_copy
from jepa_lightning.checkpoints.sharded import read_shards
from jepa_lightning.checkpoints.whole import appearing


class CheckpointFiles(TorchCheckpointIO):
    """Writes a checkpoint beside its place, and reads folders of shards as well as files, without running any code.

    Lightning's own holds a second copy in memory, writes it to the system's folder for temporary files, and moves it:
    between two disks that is a copy under the final name, which a kill leaves half-written. With this one, single
    devices and ddp resume what FSDP2 has written. The command line uses it; in Python it is
    ``Trainer(plugins=[CheckpointFiles()])``.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.checkpoints import CheckpointFiles
        >>> trainer = Trainer(plugins=[CheckpointFiles()])
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Writes a file, whole or not at all; what is not a local path is left to Lightning."""
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
        """Reads a file, its address, or a folder of shards into one.

        Args:
            path: The checkpoint.
            map_location: As in Lightning.
            weights_only: False reads any pickle, which may run code: for files that you trust, in Lightning's way.
                None is True here, for addresses too.

        Raises:
            FileNotFoundError: If there is none.
            ValueError: If it is damaged, of another code base, or holds more than plain data.
        """
        if weights_only is False:
            return super().load_checkpoint(path, map_location, weights_only)
        with local_copy(path) as found:
            if found.is_dir():
                return read_shards(found)
            read_checkpoint(found)
            content: dict[str, Any] = torch.load(found, map_location=map_location, weights_only=True)
            return content
