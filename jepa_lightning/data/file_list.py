"""Records of many files in few arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np


class FileList(Sequence[Any]):
    """Named tuples of path, label and perhaps numbers, held in arrays.

    A list of Python objects is copied into each forked worker that reads it, because reading changes the reference
    counts: 250 bytes a file. Arrays stay shared.

    Args:
        files: named tuples of one type: ``path`` (text), ``label`` (text or None), then numbers or None.
    """

    def __init__(self, files: Sequence[Any]) -> None:
        self._record: Any = type(files[0]) if files else tuple
        paths = [file[0].encode("utf-8", "surrogateescape") for file in files]
        self._paths = np.frombuffer(b"".join(paths), dtype=np.uint8)
        self._ends = np.cumsum([len(path) for path in paths], dtype=np.int64)
        self._labels: list[str] = sorted({file[1] for file in files if file[1] is not None})
        places = {label: place for place, label in enumerate(self._labels)}
        self._label_of = np.array([-1 if file[1] is None else places[file[1]] for file in files], dtype=np.int32)
        numbers = [[np.nan if number is None else number for number in file[2:]] for file in files]
        self._numbers = np.array(numbers, dtype=np.float64).reshape(len(files), -1) if files else np.empty((0, 0))

    def __len__(self) -> int:
        """Number of files."""
        return len(self._label_of)

    def __getitem__(self, index: Any) -> Any:
        """A record.

        Raises:
            IndexError: if there is none at this index.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start = self._ends[index - 1] if index else 0
        path = self._paths[start : self._ends[index]].tobytes().decode("utf-8", "surrogateescape")
        label = self._labels[self._label_of[index]] if self._label_of[index] >= 0 else None
        return self._record(path, label, *(None if np.isnan(n) else n for n in self._numbers[index].tolist()))
