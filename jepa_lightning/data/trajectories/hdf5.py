# N rows of all episodes, E episodes, T frames, C channels, H W height and width, A numbers of an action
"""Episodes in one HDF5 file: rows of frames, actions and states, one episode after the other.

The layout of stable-worldmodel (arXiv 2605.21800): ``pixels`` uint8 ``[N, H, W, C]``, ``action`` ``[N, A]``, states
``[N, ...]`` under any names, ``ep_len`` ``[E]`` and, where it is there, ``ep_offset`` ``[E]``.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jepa_lightning.data.folder_listing import require_regular
from jepa_lightning.data.trajectories.episodes import Ints

BLOCK = 1 << 16  # rows of actions that are in memory at a time when they are checked
MAX_CHANNELS = 1024
MAX_CHUNK = 1 << 30  # bytes of a chunk, which is decompressed as a whole
MAX_EPISODES = 10**8


class Hdf5Episodes:
    """Episodes of one file. Nothing is taken on trust: sizes and types are checked before a row is read.

    Args:
        path: the file.
        states: names of the columns that make a state, one after the other; None takes ``state``, where there is one.

    Raises:
        FileNotFoundError: if there is no file.
        ImportError: if h5py is not installed.
        ValueError: if it is no file of this layout, with what is wrong.
    """

    def __init__(self, path: Path, states: Sequence[str] | None = None) -> None:
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}.")
        self._path, self._opened = path, (-1, None)
        pixels, action = self._column("pixels"), self._column("action")
        if pixels.ndim != 4 or pixels.dtype != np.uint8 or 0 in pixels.shape or pixels.shape[3] > MAX_CHANNELS:
            raise self._fault(f"pixels must be uint8 [N, H, W, C], and are {_form(pixels)}")
        if action.ndim != 2 or action.dtype.kind not in "fiu" or action.shape[1] == 0:
            raise self._fault(f"action must be numbers [N, A], and is {_form(action)}")
        self._rows = pixels.shape[0]
        self.in_channels, self.action_size = pixels.shape[3], action.shape[1]
        self.lengths, self._offsets = self._find_episodes()
        names = (["state"] if "state" in self._file() else []) if states is None else list(states)
        self._states = {name: self._check_state(name) for name in names}
        self.state_size = sum(self._states.values())
        if len(action) != self._rows:
            raise self._fault(f"action has {len(action)} rows, and pixels have {self._rows}")
        self._check_actions(action)

    def name(self, episode: int) -> str:
        """Name of the file and number of the episode."""
        return f"{self._path.name}:{episode}"

    def frames(self, episode: int, indices: range) -> Tensor:
        """Frames uint8 ``[T, C, H, W]``."""
        return torch.from_numpy(self._read("pixels", episode, indices)).permute(0, 3, 1, 2).contiguous()

    def actions(self, episode: int, steps: range) -> NDArray[np.float32]:
        """Actions ``[len(steps), A]``."""
        return self._read("action", episode, steps).astype(np.float32)

    def states(self, episode: int, indices: range) -> NDArray[np.float32]:
        """States ``[T, S]``."""
        columns = [self._read(name, episode, indices).reshape(len(indices), -1) for name in self._states]
        return np.concatenate(columns, axis=1).astype(np.float32)

    def __getstate__(self) -> dict[str, Any]:
        """Without the open file, which belongs to a process."""
        return self.__dict__ | {"_opened": (-1, None)}

    def _file(self) -> Any:
        process, file = self._opened
        if process != os.getpid():
            try:
                import h5py
            except ImportError as error:
                raise ImportError("HDF5 files need h5py: pip install 'jepa_lightning[worlds]'", name="h5py") from error
            try:
                require_regular(self._path)
                file = h5py.File(self._path, "r")
            except OSError as error:
                raise ValueError(f"{self._path} is not a whole HDF5 file: {error}") from None
            self._opened = os.getpid(), file
        return file

    def _column(self, name: str) -> Any:
        """A column that lies in this file.

        Raises:
            ValueError: if it is missing, is no array, or lies in another file.
        """
        file = self._file()
        import h5py

        if name not in file:
            raise self._fault(f"there is no {name!r}, only {', '.join(sorted(file)) or 'nothing'}")
        if not isinstance(file.get(name, getlink=True), h5py.HardLink):
            raise self._fault(f"{name!r} is a link, and links are not followed")
        column = file[name]
        if not isinstance(column, h5py.Dataset):
            raise self._fault(f"{name!r} is a group, and must be an array")
        if column.is_virtual or column.external:
            raise self._fault(f"the numbers of {name!r} lie in other files, which are not read")
        if column.chunks and int(np.prod(column.chunks)) * column.dtype.itemsize > MAX_CHUNK:
            raise self._fault(f"the chunks of {name!r} have more than {MAX_CHUNK} bytes")
        return column

    def _find_episodes(self) -> tuple[Ints, Ints]:
        lengths = self._integers("ep_len")
        if not len(lengths) or lengths.min() < 1:
            raise self._fault("ep_len has no episode, or one without frames")
        if (total := int(lengths.sum())) != self._rows:
            raise self._fault(f"the lengths of episodes in ep_len add up to {total}, and there are {self._rows} frames")
        offsets = np.cumsum(lengths) - lengths
        if "ep_offset" in self._file() and not np.array_equal(self._integers("ep_offset"), offsets):
            raise self._fault("ep_offset is not where the episodes begin by their lengths in ep_len")
        return lengths, offsets

    def _integers(self, name: str) -> Ints:
        column = self._column(name)
        if column.ndim != 1 or column.dtype.kind not in "iu" or column.shape[0] > MAX_EPISODES:
            raise self._fault(f"{name} must be integers [E], and is {_form(column)}")
        values: Ints = column[:].astype(np.int64)
        if values.size and not 0 <= values.min() <= values.max() <= self._rows:
            raise self._fault(f"{name} has numbers from {values.min()} to {values.max()}, with {self._rows} frames")
        return values

    def _check_state(self, name: str) -> int:
        """Numbers of a state in one of its columns."""
        column = self._column(name)
        if column.ndim < 1 or column.dtype.kind not in "fiub" or column.shape[0] != self._rows:
            raise self._fault(f"{name} must be numbers [{self._rows}, ...], and is {_form(column)}")
        return int(np.prod(column.shape[1:]))

    def _check_actions(self, column: Any) -> None:
        """Refuses NaN and infinity, but for NaN at the last frame of an episode, where no action is taken."""
        last = np.zeros(self._rows, bool)
        last[self._offsets + self.lengths - 1] = True
        for start in range(0, self._rows, BLOCK):
            with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, and is refused as such
                values = column[start : start + BLOCK].astype(np.float32)
            bad = ~np.isfinite(values).all(axis=1) & ~(last[start : start + BLOCK] & np.isnan(values).any(axis=1))
            if bad.any():
                row = start + int(np.flatnonzero(bad)[0])
                episode = int(np.searchsorted(self._offsets, row, side="right")) - 1
                raise self._fault(
                    f"the action at step {row - self._offsets[episode]} of episode {episode}, row {row}, is "
                    f"{values[row - start].tolist()}; only that of an episode's last frame may be NaN"
                )

    def _read(self, name: str, episode: int, indices: range) -> NDArray[Any]:
        start = int(self._offsets[episode])
        rows = slice(start + indices.start, start + indices.stop, indices.step)
        try:
            values: NDArray[Any] = self._file()[name][rows]
        except OSError as error:
            raise self._fault(f"{name} of episode {episode} cannot be read, {error}") from None
        return values

    def _fault(self, what: str) -> ValueError:
        return ValueError(f"{self._path}: {what}.")


def _form(column: Any) -> str:
    return f"{column.dtype} {list(column.shape)}"
