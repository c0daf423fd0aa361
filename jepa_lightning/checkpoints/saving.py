"""A Trainer's checkpoint, written whole or not at all under every strategy."""

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer
from torch.distributed.checkpoint.api import CheckpointException

from jepa_lightning.checkpoints.checksums import write_checksums
from jepa_lightning.checkpoints.faults import disk_fault
from jepa_lightning.checkpoints.whole import UNFINISHED, appearing, present, unfinished


def save_whole(trainer: Trainer, path: str | Path, save: Callable[[str], None]) -> None:
    """Saves under another name, and gives the checkpoint its own when all ranks have written their part.

    All ranks call it, and see one file system.

    Args:
        trainer: whose checkpoint it is.
        path: the checkpoint's name; addresses of object stores, where no file is half-written, are left to Lightning.
        save: saves to a path and waits for all ranks, as ``Trainer.save_checkpoint`` does.

    Raises:
        RuntimeError: if it cannot be written; what was there before is there still.
    """
    target = Path(path)
    if "://" in str(path) or target.parent.name == UNFINISHED:  # the caller does it already
        save(str(path))
        return
    writing = appearing(target) if trainer.is_global_zero else nullcontext(unfinished(target))
    try:
        with writing as place:
            trainer.strategy.barrier()  # what a killed run has left is gone
            save(str(place))
            if place.is_dir():
                write_checksums(place, trainer.global_rank)
                trainer.strategy.barrier()  # all of them are there
    except (OSError, RuntimeError, CheckpointException) as error:
        reason = disk_fault(error)
        if reason is None:
            raise
        if isinstance(error, CheckpointException) and not trainer.is_global_zero:
            raise SystemExit(1) from error  # all ranks have it, and one says so
        raise RuntimeError(f"{_unwritten(trainer, target)}: {reason}. {_what_is_left(target)}") from error
    trainer.strategy.barrier()


def _unwritten(trainer: Trainer, path: Path) -> str:
    module = trainer.lightning_module
    tensors = [*module.parameters(), *module.buffers()]
    for optimizer in trainer.optimizers:
        tensors += [value for state in optimizer.state.values() for value in state.values() if hasattr(value, "numel")]
    size: Any = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    return f"cannot write {path}, about {size / 1e6:.1f} MB, at step {trainer.global_step}"


def _what_is_left(path: Path) -> str:
    old = present(path)
    if not old.exists():
        return "There is no older one: free some space and start again."
    return f"The one before is whole: free some space and resume with --ckpt_path {old}"
