"""Checkpoints on the disk: written whole or not at all, found again, and read whichever strategy wrote them."""

from jepa_lightning.checkpoints.classes import check_classes, import_classes
from jepa_lightning.checkpoints.faults import disk_fault
from jepa_lightning.checkpoints.files import CheckpointFiles
from jepa_lightning.checkpoints.finite import is_finite
from jepa_lightning.checkpoints.held import held_folder
from jepa_lightning.checkpoints.made_by import MADE_BY, class_path, maker, refuse_other_method
from jepa_lightning.checkpoints.plain import check_regular, read_plain
from jepa_lightning.checkpoints.reading import last_checkpoint, last_in, model_arguments, read_checkpoint, run_number
from jepa_lightning.checkpoints.remote import local_copy
from jepa_lightning.checkpoints.resuming import OPTIMIZERS, check_resumable
from jepa_lightning.checkpoints.saving import save_whole
from jepa_lightning.checkpoints.sharded import check_shards, read_shards, written_by
from jepa_lightning.checkpoints.tables import tables_of_another_size
from jepa_lightning.checkpoints.whole import appearing, present

__all__ = [
    "MADE_BY",
    "OPTIMIZERS",
    "CheckpointFiles",
    "appearing",
    "check_classes",
    "check_regular",
    "check_resumable",
    "check_shards",
    "class_path",
    "disk_fault",
    "held_folder",
    "import_classes",
    "is_finite",
    "last_checkpoint",
    "last_in",
    "local_copy",
    "maker",
    "model_arguments",
    "present",
    "read_checkpoint",
    "read_plain",
    "read_shards",
    "refuse_other_method",
    "run_number",
    "save_whole",
    "tables_of_another_size",
    "written_by",
]
