"""What is in a single folder, and what may be read of it."""

import os
import stat
from pathlib import Path

SYSTEM_FOLDERS = ("lost+found",)  # which only root may list, on every disk with an ext file system


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, by name.

    Raises:
        ValueError: if it cannot be listed.
    """
    return [Path(entry.path) for entry in contents(folder)[0]]


def require_folder(folder: Path) -> None:
    """Refuses what is not a folder.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if it is something else.
    """
    # those of Path raise where a name is too long
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise ValueError(f"{folder} is not a folder.")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}.")


def require_regular(path: Path) -> None:
    """Refuses what is not a regular file: reading a pipe or a device may never end.

    Raises:
        OSError: if it is something else, or missing.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL in the name
        raise OSError(str(error)) from error
    if not stat.S_ISREG(mode):
        raise OSError("it is not a regular file.")


def contents(folder: Path) -> tuple[list[os.DirEntry[str]], list[os.DirEntry[str]]]:
    """The folders in a folder, and what else is in it; both in the order of their names, without what is hidden.

    Raises:
        ValueError: if it cannot be listed.
    """
    folders: list[os.DirEntry[str]] = []
    others: list[os.DirEntry[str]] = []
    try:
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if not entry.name.startswith(".") and entry.name not in SYSTEM_FOLDERS:
                    (folders if _is_folder(entry) else others).append(entry)
    except OSError as error:
        raise ValueError(
            f"cannot list {folder}: {error.strerror}. Make it readable, or move it out of the data."
        ) from error
    return folders, others


def identity(folder: str | Path) -> tuple[int, int]:
    """Device and inode: two paths with one identity lead to the same folder."""
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that point to each other
        return False
