"""Where a file of features will be: whether it can be written there, and a folder beside it for what it is made of."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, count
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning.callbacks.feature_file import SUFFIXES, Column, write_columns
from jepa_lightning.checkpoints import held_folder


class FeatureTarget:
    """The place of a file of features.

    Args:
        path: the file; its suffix, .npz or .safetensors, says the format.
        overwrite: replace an existing file.

    Attributes:
        folder: for rows while they grow; all devices see it.

    Raises:
        ValueError: if the suffix is another one.
    """

    def __init__(self, path: Path, overwrite: bool) -> None:
        if path.suffix not in SUFFIXES:
            raise ValueError(
                f"cannot write features to {path}: its suffix is {path.suffix or 'missing'!r}, give "
                f"{' or '.join(SUFFIXES)}."
            )
        self.path, self.overwrite = path, overwrite
        self.folder: Path | None = None
        self._held = ExitStack()

    def open(self) -> str | None:
        """Makes the folder of the rows; says why the file cannot be written, if so.

        Folders of rows that killed runs have left beside the file are removed, see ``held_folder``.
        """
        try:
            if self.path.is_dir():
                return "it is a folder."
            if os.path.lexists(self.path) and not self.overwrite:
                return "it exists; give another name, or overwrite=True (--overwrite true) to replace it."
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.folder = self._held.enter_context(held_folder(self.path.parent, ".features."))
            with (self.folder / "trial").open("wb") as file:  # a full disk still takes names
                file.write(bytes(4096))
                os.fsync(file.fileno())
        except OSError as error:
            return f"{error.strerror or error}."
        return None

    def check_room(self, batches: float, size: int) -> None:
        """Refuses work whose rows the disk cannot hold, as far as their number is known.

        Args:
            batches: how many there are, on all devices.
            size: bytes of one.

        Raises:
            MisconfigurationException: if it cannot.
        """
        needed = 2 * size * batches if batches < float("inf") else 0
        free = shutil.disk_usage(self.path.parent).free
        if needed > free:
            raise MisconfigurationException(
                f"cannot write features to {self.path}: they need {needed / 1e9:.1f} GB while they are put in order, "
                f"and the disk has {free / 1e9:.1f} GB."
            )

    def write(self, rows: int, columns: Mapping[str, Column], texts: Mapping[str, Sequence[str]]) -> Path:
        """Writes the file, whole or not at all.

        Args:
            rows: number of them.
            columns: arrays by name.
            texts: lists of text by name.

        Returns:
            Its path, which has a number if another run has taken the name in the meantime.

        Raises:
            MisconfigurationException: if the disk refuses.
        """
        path = self.path if self.overwrite else _free(self.path)
        with self.faults():
            write_columns(path, rows, columns, texts)
        self.overwrite |= path == self.path  # what was written from here may be replaced from here
        return path

    def close(self) -> None:
        """Removes what is not the file."""
        self._held.close()
        self.folder = None

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Says in one line what the disk refuses.

        Raises:
            MisconfigurationException: if it does.
        """
        try:
            yield
        except OSError as error:
            raise MisconfigurationException(
                f"cannot write features to {self.path}: {error.strerror or error}. What was there before is unchanged."
            ) from error


def _free(path: Path) -> Path:
    """The name, or one with a number if another run has taken it in the meantime."""
    names = (path.with_stem(f"{path.stem}-{number}") for number in count(1))
    return next(name for name in chain([path], names) if not os.path.lexists(name))
