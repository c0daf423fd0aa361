"""One process at a time writes to a place that has the same name for all of them."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


@contextmanager
def alone(place: Path) -> Iterator[None]:
    """Refuses other processes until the block ends, or this process does, by a lock on ``NAME.lock`` beside the place.

    A file system without locks, and Windows, refuse nobody.

    Args:
        place: a file or a folder to come; folders above it are made.

    Raises:
        BlockingIOError: if another process writes there.
    """
    path = place.with_name(f"{place.name}.lock")
    while True:
        file = _opened(path)
        try:
            try_lock(file)
        except BlockingIOError as error:
            file.close()
            raise BlockingIOError(errno.EAGAIN, "another process is writing it", str(place)) from error
        if _is_at(path, file):
            break
        file.close()  # the one who had it has removed it just now
    with file:
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def try_lock(file: IO[Any]) -> OSError | None:
    """Locks a file until it is closed or this process ends, and does not wait for that.

    Args:
        file: open for writing.

    Returns:
        Why there is no lock, where the file system has none; None with a lock, and on Windows.

    Raises:
        BlockingIOError: if another process holds it.
    """
    try:
        if fcntl is not None:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:  # POSIX allows either
        raise BlockingIOError(errno.EAGAIN, "another process holds the lock") from error
    except OSError as error:
        return error
    return None


def has_ended(path: Path) -> bool:
    """Whether the process that has locked a file by ``try_lock`` has ended; False where that is not known.

    It is not to be asked by the process that holds the lock, which would lose it.

    Args:
        path: the file; where there is none, or no right to write to it, nothing is known.
    """
    if fcntl is None:
        return False
    try:
        with path.open("r+b") as file:
            return try_lock(file) is None
    except OSError:
        return False


def _opened(path: Path) -> IO[bytes]:
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return path.open("ab")
        except FileNotFoundError:  # another process has removed the empty folder just now
            continue


def _is_at(path: Path, file: IO[bytes]) -> bool:
    try:
        return os.path.samestat(os.stat(path), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
