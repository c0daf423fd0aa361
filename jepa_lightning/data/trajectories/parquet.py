# n rows, k numbers of a row
"""Columns of numbers from parquet files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 8 << 30  # of the columns that are read, without compression


def read_columns(path: Path, names: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Columns of one file, each ``[n, k]``; k is 1 for a column of single numbers.

    Args:
        path: the file.
        names: of the columns.

    Raises:
        ValueError: if the file cannot be read, a column is missing, or one is not of equally many numbers a row.
    """
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            known = set(file.schema_arrow.names)
            if missing := [name for name in names if name not in known]:
                raise ValueError(f"{path}: there is no column {missing[0]!r}, only {', '.join(sorted(known))}.")
            groups = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
            if sum(groups) > MAX_BYTES:
                raise ValueError(f"{path}: its rows have more than {MAX_BYTES} bytes.")
            table = file.read(columns=list(names))
    except (OSError, pyarrow.ArrowException) as error:
        raise ValueError(f"{path} cannot be read: {' '.join(str(error).split())}") from None
    return {name: _numbers(table.column(name).combine_chunks(), path, name) for name in names}


def _numbers(column: Any, path: Path, name: str) -> NDArray[Any]:
    import pyarrow
    from pyarrow import compute, types

    if isinstance(column, pyarrow.ChunkedArray):
        column = pyarrow.concat_arrays(column.chunks) if column.num_chunks else pyarrow.array([], column.type)
    rows, fault = (
        len(column),
        f"{path}: the column {name!r} is {column.type}, and must have equally many numbers a row.",
    )
    width = 1
    if types.is_list(column.type) or types.is_large_list(column.type) or types.is_fixed_size_list(column.type):
        widths = compute.unique(compute.list_value_length(column)).to_pylist()
        if column.null_count or len(widths) != 1 or not widths[0]:
            raise ValueError(fault)
        width, column = widths[0], column.flatten()
    number = types.is_floating(column.type) or types.is_integer(column.type) or types.is_boolean(column.type)
    if column.null_count or not number:
        raise ValueError(fault)
    values: NDArray[Any] = np.asarray(column.to_numpy(zero_copy_only=False)).reshape(rows, width)
    return values
