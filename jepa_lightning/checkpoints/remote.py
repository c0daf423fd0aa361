"""Checkpoints that are not on this machine's disk."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from lightning.fabric.utilities.cloud_io import get_filesystem

from jepa_lightning.checkpoints.whole import present


@contextmanager
def local_copy(source: str | Path | IO[bytes]) -> Iterator[Path]:
    """A checkpoint as a path on this machine, so that it can be checked before it is read.

    Args:
        source: a file, a folder of shards, an open file, or the address of a file that fsspec knows, such as
            ``https://`` or ``s3://``. The last two are copied, and the copy is removed when the block ends.

    Raises:
        FileNotFoundError: if there is nothing at the address.
        ValueError: if it cannot be reached.
    """
    if isinstance(source, Path) or (isinstance(source, str) and "://" not in source):
        yield present(Path(source))
        return
    name = source if isinstance(source, str) else "the open file"
    with TemporaryDirectory() as folder:
        copy = Path(folder, "copy.ckpt")
        try:
            if isinstance(source, str):
                get_filesystem(source).get_file(source, str(copy))
            else:
                with copy.open("wb") as file:
                    shutil.copyfileobj(source, file)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"there is no checkpoint {name}.") from error
        except Exception as error:  # each kind of store has its own
            raise ValueError(f"cannot fetch {name}: {' '.join(str(error).split()) or type(error).__name__}.") from error
        try:
            yield copy
        except ValueError as error:
            raise ValueError(str(error).replace(str(copy), name)) from error
