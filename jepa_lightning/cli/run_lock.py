"""One run at a time writes to a folder."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.utilities import rank_zero_warn

from jepa_lightning.checkpoints.alone import try_lock

LOCK = ".lock"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps the runs of other processes out of a folder, until the block ends or this process does.

    It is a POSIX record lock on ``.lock`` in the folder. The system releases it when the process ends, also when it is
    killed; the file stays, and means nothing. Workers that are forked do not hold it, so those that survive a killed
    run for some seconds do not block the next one. NFS passes such locks on to its server, so that they hold between
    machines; a file system without locks (some mounts of NFS and Lustre) gives a warning, and then nothing is refused.
    On Windows, which has no such locks, nothing is refused either: resume a run once at a time there.

    Args:
        folder: Is created if it does not exist.

    Raises:
        ValueError: If a run of another process holds the folder, or the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise ValueError(f"cannot write to the folder {folder}: {error.strerror}.") from error
    with file:
        try:
            unlocked = try_lock(file)
        except BlockingIOError as error:
            file.seek(0)
            raise ValueError(
                f"another run is writing to {folder} ({file.read() or 'of an unknown process'}): wait until it has "
                "ended, or write to another folder; a new fit, without --ckpt_path, has one of its own."
            ) from error
        if unlocked is not None:
            rank_zero_warn(f"{folder} cannot be locked ({unlocked.strerror}): resume a run once at a time.")
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
