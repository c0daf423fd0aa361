"""Which checkpoint the command line starts from, and which run it resumes."""

import warnings
from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints import check_shards, last_checkpoint, last_in, present
from jepa_lightning.cli.default_callbacks import as_list
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.say import say


def chosen_checkpoint(options: Any, command: str) -> tuple[str | None, Path | None]:
    """The checkpoint that ``--ckpt_path`` stands for, and the folder of the run that is resumed; None where none is.

    Args:
        options: Of the command.
        command: One of the Trainer's.

    Raises:
        FileNotFoundError: If the checkpoint does not exist.
        ValueError: If it is a folder that is no checkpoint.
        UsageError: If its path is empty.
    """
    given, folder = options.ckpt_path, None
    if given is not None and not given.strip():
        raise UsageError("--ckpt_path is empty: give the path of a checkpoint, or leave the option out.")
    checkpoint = given
    if given in ("last", "auto"):
        checkpoint, folder = _newest(options, given == "auto" and command == "fit")
    # Lightning knows some words, and addresses
    elif given and given not in ("best", "hpc") and ":" not in given:
        checkpoint = str(given_checkpoint(given))
    if checkpoint and Path(checkpoint).is_dir():
        check_shards(Path(checkpoint))
    return checkpoint, folder


def runs_folder(options: Any) -> Path:
    """Where the runs of a model are.

    Args:
        options: Of a command.
    """
    root = Path(options.trainer.default_root_dir or ".").expanduser()
    return root / str(options.model.class_path).rpartition(".")[2]


def find_last(options: Any) -> tuple[Path | None, Path | None]:
    """The checkpoint that ``--ckpt_path last`` stands for, and the folder of its run; None where there is none.

    A callback with a ``dirpath`` is followed there; such a run has a new folder when it is
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


def _newest(options: Any, auto: bool) -> tuple[str | None, Path | None]:
    """The last checkpoint and its run's folder; without one ``auto`` starts a new run."""
    found, folder = find_last(options)
    if found is None and not auto:
        raise FileNotFoundError(
            f"there is no last checkpoint, {last_places(options)}: give the path of one, or leave --ckpt_path out "
            "to start a new run."
        )
    if auto:
        does = f"resumes from {found}" if found else f"starts a new run, there is no {last_places(options)}"
        say(f"--ckpt_path auto: {does}.")
    if found:
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty")
    return (str(found) if found else None), folder


def _last_folders(options: Any) -> list[Path]:
    """Folders that the configuration gives to callbacks that keep a last checkpoint."""
    folders = []
    for callback in as_list(options.trainer.callbacks):
        given: Any = callback.get("init_args") or {}
        keeps = str(callback.class_path).endswith("LastCheckpoint") or given.get("save_last")
        if keeps and given.get("dirpath"):
            folders.append(Path(given.get("dirpath")).expanduser())
    return folders
