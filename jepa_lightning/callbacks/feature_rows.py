# R rows of a rank, N rows of all ranks, B batch
"""Rows that grow on the disk while a model predicts, one set of files a rank, and all of them in order at the end."""

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from jepa_lightning.callbacks.feature_file import Column
from jepa_lightning.checkpoints import appearing

PART = 2**24  # bytes that are in memory at a time, about
Array = np.ndarray[Any, Any]


class _Form(NamedTuple):
    """Type and shape of the rows of a column."""

    dtype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        return f"{self.dtype} {list(self.shape)}"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize


class RowWriter:
    """Appends the rows of one rank to files, a file a column; memory holds their paths alone.

    Args:
        folder: of all ranks.
        rank: of this process.
        resume: continue behind the rows of the last ``save`` in this folder. Where there was none, or a file holds less
            than its note says, it begins anew.

    Attributes:
        reached: what the last ``save`` was told; 0 at the beginning.
    """

    def __init__(self, folder: Path, rank: int, resume: bool = False) -> None:
        self._folder, self._rank, self._rows = folder, rank, 0
        self._forms: dict[str, _Form] = {}
        self._paths: list[str] = []
        self._resume, self.reached = resume, 0
        if resume:
            self._restore()

    def __len__(self) -> int:
        """Rows so far."""
        return self._rows

    def append(self, columns: dict[str, Tensor], places: Tensor, paths: Sequence[str]) -> None:
        """Appends one batch. A column that it lacks, or that was lacking so far, is filled with unlabeled rows.

        Args:
            columns: ``[B, ...]`` each, float32 or int64.
            places: int64 ``[B, 2]``, loader and index of each row.
            paths: one a row, or none.

        Raises:
            ValueError: if the rows of a column have another type or shape than before.
        """
        size = len(places)
        for name, values in ({"places": places} | columns).items():
            array = values.detach().cpu().numpy()
            form = _Form(str(array.dtype), array.shape[1:])
            if name not in self._forms:
                self._forms[name] = form
                # a run that was killed before its first note may have left a file of this name
                self._extend(name, _unlabeled(form, self._rows), "wb")
            if form != (known := self._forms[name]):
                raise ValueError(
                    f"{name} is {form} in one batch and {known} in those before: all samples must have labels of one "
                    "kind, and features of one size."
                )
            self._extend(name, array)
        for name in self._forms.keys() - columns.keys() - {"places"}:
            self._extend(name, _unlabeled(self._forms[name], size))
        self._rows += size
        self._paths.extend(paths or [""] * size)

    def save(self, reached: int = 0) -> None:
        """Leaves a note of what the files hold, for `Rows`, and to resume from.

        Args:
            reached: how far the caller is, for a later one.
        """
        if self._resume:  # a machine that loses power must not keep the note alone
            for name in self._forms:
                with _file(self._folder, self._rank, name, self._forms).open("rb+") as file:
                    os.fsync(file.fileno())
        self.reached = reached
        note = {"rows": self._rows, "forms": self._forms, "paths": self._paths, "reached": reached}
        with appearing(self._note) as path:
            path.write_text(json.dumps(note))

    @property
    def _note(self) -> Path:
        return self._folder / f"{self._rank}.json"

    def _restore(self) -> None:
        try:
            note = json.loads(self._note.read_text())
            rows, paths, reached = int(note["rows"]), list(note["paths"]), int(note["reached"])
            forms = {name: _Form(kind, tuple(shape)) for name, (kind, shape) in note["forms"].items()}
            files = {_file(self._folder, self._rank, name, forms): rows * form.nbytes for name, form in forms.items()}
            if any(path.stat().st_size < size for path, size in files.items()):
                return
        except (OSError, ValueError, TypeError, KeyError, AttributeError):  # there is none, or the disk has damaged it
            return
        for path, size in files.items():  # what came after the note is written again
            os.truncate(path, size)
        self._rows, self._paths, self._forms, self.reached = rows, paths, forms, reached

    def _extend(self, name: str, values: Array, mode: str = "ab") -> None:
        with _file(self._folder, self._rank, name, self._forms).open(mode) as file:
            file.write(np.ascontiguousarray(values).data)


class Rows:
    """The rows of all ranks.

    Args:
        folder: where the ranks have written them.
        ranks: how many there are.

    Attributes:
        loaders: int64 ``[N]``, the loader of each row.
        indices: int64 ``[N]``, its index in the data set of that loader.
        paths: one a row, or empty where there are none.
    """

    def __init__(self, folder: Path, ranks: int) -> None:
        notes = [json.loads((folder / f"{rank}.json").read_text()) for rank in range(ranks)]
        self._folder, self._counts = folder, [note["rows"] for note in notes]
        self._forms = [{name: _Form(kind, tuple(shape)) for name, (kind, shape) in n["forms"].items()} for n in notes]
        self.forms: dict[str, _Form] = {}
        for name, form in (item for forms in self._forms for item in forms.items()):
            if self.forms.setdefault(name, form) != form:
                raise ValueError(f"{name} is {form} on one device and {self.forms[name]} on another.")
        places = np.concatenate([self._column(rank, "places") for rank in range(ranks)])
        ranks_of = np.repeat(np.arange(ranks), self._counts)
        rows_of = np.concatenate([np.arange(count) for count in self._counts])
        kept = np.flatnonzero(places[:, 1] >= 0)  # others fill a batch
        if ranks > 1:  # they take samples in turn, and some repeat one to have equally many
            kept = kept[np.unique(places[kept], axis=0, return_index=True)[1]]
        self._ranks, self._rows = ranks_of[kept], rows_of[kept]
        self.loaders, self.indices = places[kept].T
        paths = [note["paths"] for note in notes]
        self.paths = [paths[rank][row] for rank, row in zip(self._ranks, self._rows, strict=True)]
        self.paths = self.paths if any(self.paths) else []

    def __len__(self) -> int:
        """N."""
        return len(self._rows)

    def columns(self) -> dict[str, Column]:
        """All columns but the places."""
        return {
            name: Column(form.dtype, form.shape, lambda name=name: self._parts(name))  # type: ignore[misc]
            for name, form in self.forms.items()
            if name != "places"
        }

    def array(self, name: str) -> Array:
        """A column of a single rank, read from its file as it is used.

        Raises:
            ValueError: if there are several ranks.
        """
        if len(self._counts) > 1:
            raise ValueError("columns of several ranks lie in several files: take them in parts.")
        found = self._column(0, name)
        return found if len(self) == len(found) else found[self._rows]

    def _parts(self, name: str) -> Iterator[Array]:
        form = self.forms[name]
        sources = [self._column(rank, name) for rank in range(len(self._counts))]
        step = max(1, PART // max(1, form.nbytes))
        for begin in range(0, len(self), step):
            ranks, rows = self._ranks[begin : begin + step], self._rows[begin : begin + step]
            part = np.empty((len(rows), *form.shape), form.dtype)
            for rank, source in enumerate(sources):
                part[ranks == rank] = source[rows[ranks == rank]]
            yield part

    def _column(self, rank: int, name: str) -> Array:
        """The rows of one rank, read from its file as they are used."""
        rows, form = self._counts[rank], self.forms.get(name, _Form("int64", (2,)))
        if not rows or name not in self._forms[rank]:
            return _unlabeled(form, rows)
        path = _file(self._folder, rank, name, self._forms[rank])
        return np.memmap(path, form.dtype, "r", shape=(rows, *form.shape))


def _file(folder: Path, rank: int, name: str, names: Iterable[str]) -> Path:
    # names of labels are the user's, and may be no names of files
    return folder / f"{rank}.{list(names).index(name)}"


def _unlabeled(form: _Form, rows: int) -> Array:
    # -1 of a byte is 255, which no class of a mask has
    value = math.nan if np.issubdtype(form.dtype, np.floating) else -1
    return np.broadcast_to(np.array(value).astype(form.dtype), (rows, *form.shape))
