"""Files and folders that appear under their name whole, or not at all.

What is written goes to ``.unfinished/NAME`` beside its place, then to the disk, and then takes its name. A file takes
the place of an older one in one step. A folder cannot: the older one is set aside as ``.previous/NAME`` first, and
stays there until the new one has its name, so that one of them is always there, and ``present`` says where. What killed
runs leave in either place is removed when the same name is written again.
"""

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jepa_lightning.checkpoints.alone import alone

UNFINISHED, PREVIOUS = ".unfinished", ".previous"


def present(path: Path) -> Path:
    """Where a checkpoint is: under its name, or set aside, if a run was killed just when a new one took its place.

    Args:
        path: the checkpoint's name; it may not exist at all.
    """
    aside = path.parent / PREVIOUS / path.name
    return aside if aside.exists() and not path.exists() else path


def unfinished(path: Path) -> Path:
    """Where a checkpoint is written before it gets its name."""
    return path.parent / UNFINISHED / path.name


@contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """Gives a path to write a file or a folder to, which takes its name when the block ends.

    If the block, or the disk, fails then nothing has changed, and what was written is removed.

    Args:
        path: the name it takes, in place of what is there.

    Raises:
        OSError: if the disk does not take it, or another process is writing to the same name.
    """
    if path.parent.name == UNFINISHED:  # part of a greater one
        yield path
        return
    place = unfinished(path)
    try:
        with alone(place):
            _remove(place)
            try:
                yield place
                _to_disk(place)
                _take_name(place, path)
            finally:
                _remove(place)
    finally:
        _remove_empty(place.parent)


def _take_name(place: Path, path: Path) -> None:
    aside = path.parent / PREVIOUS / path.name
    if path.exists() and (path.is_dir() or place.is_dir()):
        _remove(aside)
        aside.parent.mkdir(exist_ok=True)
        os.rename(path, aside)
    os.replace(place, path)
    _sync(path.parent)
    _remove(aside)


def _to_disk(path: Path) -> None:
    """Without it a machine that loses power could keep the new name and lose what is in it."""
    for file in [*path.rglob("*"), path]:
        _sync(file)


def _sync(path: Path) -> None:
    folder = path.is_dir()
    try:
        number = os.open(path, os.O_RDONLY if folder else os.O_RDWR)  # Windows syncs what may be written
        try:
            os.fsync(number)
        finally:
            os.close(number)
    except OSError as error:
        # Windows opens no folders, and some network file systems do not sync them
        if not (folder and error.errno in (errno.EACCES, errno.EINVAL, errno.EBADF, errno.ENOTSUP)):
            raise


def _remove(path: Path) -> None:
    """Removes a file or a folder, and the folder for its kind if that is empty then."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    _remove_empty(path.parent)


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
