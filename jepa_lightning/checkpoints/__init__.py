"""Checkpoints on the disk: written whole or not at all, found again, and read whichever strategy wrote them."""

from jepa_lightning.checkpoints.faults import disk_fault
from jepa_lightning.checkpoints.files import CheckpointFiles
from jepa_lightning.checkpoints.reading import last_checkpoint, model_arguments, read_checkpoint
from jepa_lightning.checkpoints.saving import save_whole
from jepa_lightning.checkpoints.shards import check_shards, read_shards, written_by
from jepa_lightning.checkpoints.whole import appearing, present

__all__ = [
    "CheckpointFiles",
    "appearing",
    "check_shards",
    "disk_fault",
    "last_checkpoint",
    "model_arguments",
    "present",
    "read_checkpoint",
    "read_shards",
    "save_whole",
    "written_by",
]
