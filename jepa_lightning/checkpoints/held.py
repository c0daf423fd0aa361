"""Folders for what a process writes on the way to a file, which later processes remove if it was killed."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jepa_lightning.checkpoints.alone import has_ended, try_lock

LOCK = ".lock"
_own: set[tuple[int, int]] = set()  # locks of this process, which must not open them a second time


@contextmanager
def held_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Makes a folder with a name of its own, which is removed when the block ends.

    A process that is killed leaves its folder; the next one that makes a folder with the same prefix at the same place
    removes it. Whether a process has ended is told by a POSIX lock on ``.lock`` in its folder, which the system
    releases then: numbers of processes mean nothing on another machine or in another container. A folder of this
    process, a folder without a lock, and all folders on Windows and on file systems without locks stay.

    Args:
        parent: where the folder is made; it exists.
        prefix: of its name, and of the names of those that are removed; it has no special characters of a pattern.

    Raises:
        OSError: if the disk does not take it.
    """
    _remove_dead(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    lock = None
    try:
        with (folder / LOCK).open("wb") as file:
            status = os.fstat(file.fileno())
            lock = (status.st_dev, status.st_ino)
            _own.add(lock)
            # the file is empty until it is locked, so that nobody takes a new folder for that of a dead process
            if try_lock(file) is None:
                file.write(b"locked")
                file.flush()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            _own.discard(lock)


def _remove_dead(parent: Path, prefix: str) -> None:
    for folder in parent.glob(f"{prefix}*"):
        lock = folder / LOCK
        try:
            status = lock.stat()
        except OSError:  # no folder of this kind
            continue
        if status.st_size and (status.st_dev, status.st_ino) not in _own and has_ended(lock):
            shutil.rmtree(folder, ignore_errors=True)
