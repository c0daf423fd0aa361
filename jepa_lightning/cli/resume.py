"""Which checkpoint the command line starts from, and which run it resumes."""

from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints import last_checkpoint, last_in, present
from jepa_lightning.cli.default_callbacks import as_list


def runs_folder(options: Any) -> Path:
    """Where the runs of a model are.

    Args:
        options: Of a command.
    """
    root = Path(options.trainer.default_root_dir or ".").expanduser()
    return root / str(options.model.class_path).rpartition(".")[2]


def find_last(options: Any) -> tuple[Path | None, Path | None]:
    """The checkpoint that ``--ckpt_path last`` stands for, and the folder of its run; None where there is none.

    A callback that keeps it in a ``dirpath`` of its own is followed there; such a run has a new folder when it is
    resumed.

    Args:
        options: Of a command.
    """
    if own := _last_folders(options):
        return next(filter(None, map(last_in, own)), None), None
    runs = runs_folder(options)
    found = last_checkpoint(runs)
    return found, runs / found.relative_to(runs).parts[0] if found else None


def last_places(options: Any) -> str:
    """Where ``find_last`` looks, in words."""
    names = [str(folder / "last.ckpt") for folder in _last_folders(options)]
    return " or ".join(names) or f"{runs_folder(options)}/*/checkpoints/last.ckpt"


def given_checkpoint(path: str) -> Path:
    """A checkpoint named by its path.

    Args:
        path: As given.

    Raises:
        FileNotFoundError: If it does not exist.
    """
    found = present(Path(path))
    if not found.exists():
        raise FileNotFoundError(f"there is no checkpoint {path}.")
    return found


def _last_folders(options: Any) -> list[Path]:
    """Folders that the configuration gives to callbacks that keep a last checkpoint."""
    folders = []
    for callback in as_list(options.trainer.callbacks):
        given: Any = callback.get("init_args") or {}
        keeps = str(callback.class_path).endswith("LastCheckpoint") or given.get("save_last")
        if keeps and given.get("dirpath"):
            folders.append(Path(given.get("dirpath")).expanduser())
    return folders
