# E episodes, N rows of all episodes
"""Episodes to one HDF5 file, by way of a folder beside it, so that what was recorded survives an interruption."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from jepa_lightning.checkpoints.whole import UNFINISHED, appearing

SETTINGS = "settings.json"
MADE_BY = "jepa-lightning collect"
PARTS = ".parts"
JOINED = "joined.h5"
Array = NDArray[Any]


class EpisodeParts:
    """Episodes in files of their own, each written whole or not at all, until all are there.

    Args:
        output: the HDF5 file to come; the episodes are in a folder of this name with the ending ``.parts``.
        settings: what the episodes depend on; other ones do not continue in the same folder.

    Raises:
        ValueError: if the file is there already, or the folder is of something else.
    """

    def __init__(self, output: Path, settings: Mapping[str, Any]) -> None:
        self.output, self.settings = output, dict(settings)
        self.folder = output.with_name(output.name + PARTS)
        if os.path.lexists(output):
            raise ValueError(f"{output} is there already: give another name, or move it away.")
        if not output.parent.is_dir():
            raise ValueError(f"there is no folder {output.parent} for {output.name}: make it first.")
        note = self.folder / SETTINGS
        if os.path.lexists(self.folder) and not self._is_empty():
            self._check(note)
        else:
            self.folder.mkdir(exist_ok=True)
            with appearing(note) as place:
                place.write_text(json.dumps(self._note()))

    def __contains__(self, episode: int) -> bool:
        """Whether an episode has been written."""
        return self._path(episode).is_file()

    def write(self, episode: int, columns: Mapping[str, Array]) -> None:
        """Writes an episode, a row a frame.

        Args:
            episode: its number.
            columns: arrays ``[T, ...]`` by name.
        """
        with appearing(self._path(episode)) as place, place.open("wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]

    def read(self, episode: int) -> dict[str, Array]:
        """The columns of an episode.

        Raises:
            ValueError: if its file cannot be read.
        """
        try:
            with np.load(self._path(episode), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, BadZipFile) as error:
            raise ValueError(
                f"{self._path(episode)} cannot be read, remove it and repeat the command: {error}"
            ) from None

    def join(self, number: int) -> int:
        """Writes the HDF5 file of the first episodes, and removes the folder.

        Args:
            number: of episodes, E.

        Returns:
            N.
        """
        made = self.folder / JOINED
        rows = self._write_file(made, number)
        if os.path.lexists(self.output):
            raise ValueError(f"{self.output} has come into being meanwhile: move it away and repeat the command.")
        with appearing(self.output) as place:
            made.replace(place)
        shutil.rmtree(self.folder)
        return rows

    def _write_file(self, path: Path, number: int) -> int:
        import h5py

        first = self.read(0)
        lengths = np.zeros(number, np.int64)
        with h5py.File(path, "w") as file:
            file.attrs.update({name: json.dumps(value) for name, value in self._note().items()})
            columns = {name: _create(file, name, values) for name, values in first.items()}
            rows = 0
            for episode in range(number):
                parts = self.read(episode)
                lengths[episode] = len(parts["pixels"])
                for name, column in columns.items():
                    column.resize(rows + lengths[episode], axis=0)
                    column[rows:] = parts[name]
                rows += int(lengths[episode])
            file["ep_len"], file["ep_offset"] = lengths, np.cumsum(lengths) - lengths
            file["episode_idx"] = np.repeat(np.arange(number), lengths)
            file["step_idx"] = np.concatenate([np.arange(length) for length in lengths])
        return rows

    def _note(self) -> dict[str, Any]:
        return {"made_by": MADE_BY, "settings": self.settings}

    def _is_empty(self) -> bool:
        """Whether nothing is there but what a run leaves that was killed before it had written its settings."""
        return self.folder.is_dir() and all(path.name == UNFINISHED for path in self.folder.iterdir())

    def _check(self, note: Path) -> None:
        try:
            found = json.loads(note.read_text())
        except (OSError, ValueError):
            raise ValueError(f"{self.folder} is not a folder that `{MADE_BY}` wrote: give another name.") from None
        # as JSON has it: a tuple is a list there
        if found != json.loads(json.dumps(self._note())):
            kept = found.get("settings") if isinstance(found, dict) else None
            raise ValueError(
                f"{self.folder} has episodes of other settings, {kept}: repeat that command, or give another name."
            )

    def _path(self, episode: int) -> Path:
        return self.folder / f"{episode:09d}.npz"


def _create(file: Any, name: str, values: Array) -> Any:
    """A column that grows; a chunk is one frame, or 1024 rows of numbers."""
    chunk = (1, *values.shape[1:]) if values.ndim == 4 else (1024, *values.shape[1:])
    options = {"compression": "gzip", "compression_opts": 1, "shuffle": True} if values.ndim == 4 else {}
    return file.create_dataset(
        name, (0, *values.shape[1:]), values.dtype, maxshape=(None, *values.shape[1:]), chunks=chunk, **options
    )
