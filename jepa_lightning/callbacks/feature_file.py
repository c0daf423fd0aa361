# N rows
"""Files of named arrays whose rows come in parts, so that memory holds one part at a time."""

import json
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from jepa_lightning.checkpoints import appearing

SUFFIXES = (".npz", ".safetensors")
# safetensors' names of the types that columns have
SAFETENSORS_TYPES = {"float32": "F32", "int64": "I64"}


class Column(NamedTuple):
    """An array ``[N, *shape]``.

    Attributes:
        dtype: numpy's name of the type, float32 or int64.
        shape: of one row.
        parts: gives its rows, in parts.
    """

    dtype: str
    shape: tuple[int, ...]
    parts: Callable[[], Iterable[np.ndarray[Any, Any]]]


def write_columns(path: Path, rows: int, columns: Mapping[str, Column], texts: Mapping[str, Sequence[str]]) -> None:
    """Writes a file that appears under its name whole, or not at all.

    Args:
        path: the file; its suffix is one of `SUFFIXES`. What is there is replaced.
        rows: N, of every column.
        columns: the arrays, by name.
        texts: lists of text, by name: arrays in a ``.npz``, JSON in the metadata of a ``.safetensors``.

    Raises:
        OSError: if the disk does not take it; there is no file then, or the older one.
    """
    write = _write_npz if path.suffix == ".npz" else _write_safetensors
    with appearing(path) as place:
        write(place, rows, columns, texts)


def _write_npz(path: Path, rows: int, columns: Mapping[str, Column], texts: Mapping[str, Sequence[str]]) -> None:
    """As ``numpy.savez``, which wants each array whole."""
    with zipfile.ZipFile(path, "w", allowZip64=True) as archive:
        for name, column in columns.items():
            header = {"descr": np.dtype(column.dtype).str, "fortran_order": False, "shape": (rows, *column.shape)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                _write_parts(file, column)
        for name, text in texts.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.array(text, dtype=np.str_), allow_pickle=False)


def _write_safetensors(
    path: Path, rows: int, columns: Mapping[str, Column], texts: Mapping[str, Sequence[str]]
) -> None:
    """As ``safetensors.numpy.save_file``, which wants each array whole and exits without an error on a full device.

    The format: https://github.com/huggingface/safetensors#format.
    """
    header: dict[str, Any] = {"__metadata__": {name: json.dumps(list(text)) for name, text in texts.items()}}
    end = 0
    for name, column in columns.items():
        begin = end
        end += rows * int(np.prod(column.shape)) * np.dtype(column.dtype).itemsize
        kind = SAFETENSORS_TYPES[column.dtype]
        header[name] = {"dtype": kind, "shape": [rows, *column.shape], "data_offsets": [begin, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)  # data are aligned
    with path.open("wb") as file:
        file.write(len(encoded).to_bytes(8, "little") + encoded)
        for column in columns.values():
            _write_parts(file, column)


def _write_parts(file: BinaryIO | Any, column: Column) -> None:
    for part in column.parts():
        file.write(np.ascontiguousarray(part, np.dtype(column.dtype).newbyteorder("<")).data)
