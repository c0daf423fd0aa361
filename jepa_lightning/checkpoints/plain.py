"""Files that torch has written, checked before they are used.

They are regular files, undamaged, hold plain data, and take no more memory than their own size.
"""

import pickle
import re
import stat
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import IO, Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import torch
from torch import Tensor

from jepa_lightning.checkpoints.namespaces import PLAIN_PICKLE, ForeignObjectError, check_memo

CHUNK = 1 << 24  # bytes that are read at a time


def read_plain(path: Path, namespaces: bool = False) -> Any:
    """The content of a file of ``torch.save``, its tensors left on disk. Nothing in the file is run.

    Args:
        path: the file.
        namespaces: also read what Lightning 1 and numpy have written, as dicts and numbers.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no regular file, may not be read, is damaged, holds more than plain data, or would take
            more memory than its own size.
    """
    check_regular(path)
    size = path.stat().st_size
    try:
        _check_whole(path, *stamp(path))
        content = _load(path, namespaces)
    except PermissionError as error:
        raise ValueError(f"cannot read {path}: you have no permission to read it.") from error
    except (pickle.UnpicklingError, ForeignObjectError) as error:
        raise ValueError(
            f"cannot read {path}: it holds more than plain data{_what(error)}, which could run code."
        ) from error
    except Exception as error:  # damage shows in many ways
        reason = f"{error}" if isinstance(error, DamagedError) else "it is truncated, or not a checkpoint"
        raise ValueError(f"cannot read {path} ({size} bytes) as a checkpoint: {reason}.") from error
    claimed = sum(_beyond_storage(tensor) for tensor in _tensors(content))
    if claimed > size:
        raise ValueError(f"cannot read {path}: it has {size} bytes, and its tensors claim {claimed}.")
    return content


def _load(path: Path, namespaces: bool) -> Any:
    try:
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError:
        if not namespaces:
            raise
    with ZipFile(path) as archive:
        for entry in archive.namelist():
            if entry.endswith("data.pkl"):
                check_memo(archive.read(entry))
    # with an unpickler that builds plain data alone
    return torch.load(path, map_location="cpu", mmap=True, weights_only=False, pickle_module=PLAIN_PICKLE)


def _what(error: Exception) -> str:
    """What a file wanted to have built."""
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    found = str(error) if isinstance(error, ForeignObjectError) else named and named[1]
    return f" ({found})" if found else ""


class DamagedError(Exception):
    """An archive that is not as it was written."""


def check_regular(path: Path) -> None:
    """Refuses what is no file with content; a pipe would wait for a writer forever.

    Args:
        path: of the file.

    Raises:
        FileNotFoundError: if there is nothing.
        ValueError: if it is something else, or empty.
    """
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise FileNotFoundError(f"there is no checkpoint {path}.") from error
    except PermissionError as error:
        raise ValueError(f"cannot read {path}: you have no permission to enter its folder.") from error
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"cannot read {path}: it is not a regular file.")
    if not found.st_size:
        raise ValueError(f"cannot read {path}: it is empty.")


def check_archive(file: IO[bytes], size: int) -> None:
    """Whether an archive of ``torch.save`` unpacks to no more than its size, and matches its checksums.

    Args:
        file: the archive.
        size: its length in bytes.

    Raises:
        DamagedError: if not.
        BadZipFile: if it is no archive.
    """
    with ZipFile(file) as archive:
        entries = archive.infolist()
        if any(entry.filename.endswith("constants.pkl") for entry in entries):
            raise DamagedError("it is a program of TorchScript, which torch would build")
        unpacked = sum(entry.file_size for entry in entries)
        if unpacked > size or any(entry.compress_type != ZIP_STORED for entry in entries):
            raise DamagedError(f"it is compressed and unpacks to {unpacked} bytes, torch compresses nothing")
        for entry in entries:
            if not entry.CRC:  # written under torch.serialization.set_crc32_options(False)
                continue
            try:
                with archive.open(entry) as part:
                    while part.read(CHUNK):
                        pass
            except BadZipFile as error:
                raise DamagedError(f"it is damaged, {entry.filename} does not match its checksum") from error


def stamp(path: Path) -> tuple[int, int, int]:
    """Changes when a file is written again."""
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@lru_cache(maxsize=4)  # the command line reads the options, and then the weights
def _check_whole(path: Path, *stamp: int) -> None:
    with path.open("rb") as file:
        check_archive(file, path.stat().st_size)


def _tensors(content: Any) -> Iterator[Tensor]:
    if isinstance(content, Tensor):
        yield content
    elif isinstance(content, (dict, list, tuple)):
        for value in content.values() if isinstance(content, dict) else content:
            yield from _tensors(value)


def _beyond_storage(tensor: Tensor) -> int:
    """Bytes of a tensor that repeats what is stored, by strides of 0, or of one without values."""
    size = tensor.numel() * tensor.element_size()
    if tensor.layout != torch.strided or (not tensor.is_meta and size <= tensor.untyped_storage().nbytes()):
        return 0
    return size
