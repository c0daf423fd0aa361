"""Files as a data set: finding them in folders, and keeping account of those that cannot be read."""

import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.data import Dataset


class MediaFile(NamedTuple):
    """Path relative to the root, and name of the class or None."""

    path: str
    label: str | None


class MediaFiles(Dataset[tuple[Any, int | None, str] | None], ABC):
    """Files, each with the index of its class and its path relative to the root.

    A file that cannot be read is None, from then on in all processes, and named in a warning.

    Args:
        root: folder that the paths start from.
        files: paths and classes.
        classes: names of the classes, in the order of their indices.
        max_bad_share: greatest share of files that cannot be read.

    Attributes:
        kind: what the files hold, in the plural.
    """

    kind: str

    def __init__(
        self, root: Path, files: Sequence[MediaFile], classes: Sequence[str], max_bad_share: float = 0.05
    ) -> None:
        self.root = root
        self.files = files
        self.classes = {name: i for i, name in enumerate(classes)}
        self.max_bad_share = max_bad_share
        self.bad = torch.zeros(len(files), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    @abstractmethod
    def read(self, index: int, file: Any) -> Any:
        """The content of the file at an index; whatever is raised counts as unreadable."""

    def where(self, index: int | None = None) -> str:
        """The place of a file, or of all of them, for messages."""
        return str(self.root if index is None else self.root / self.files[index].path)

    def __len__(self) -> int:
        """Number of files, readable or not."""
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Any, int | None, str] | None:
        """Content, class and path, or None.

        Raises:
            RuntimeError: if too many of the files cannot be read.
        """
        if self.bad[index]:
            return None
        file = self.files[index]
        try:
            content = self.read(index, file)
        except ImportError:  # no fault of the file
            raise
        except Exception as error:  # what a decoder raises on damaged bytes is anyone's guess
            self.report(index, error)
            return None
        return content, None if file.label is None else self.classes[file.label], file.path

    def report(self, index: int, error: Exception) -> None:
        """Counts a file as unreadable, and names it.

        Raises:
            RuntimeError: if there are too many of them.
        """
        warnings.warn(f"cannot read {self.where(index)}, left out: {error}", stacklevel=3)
        self.bad[index] = True
        bad = self.bad.nonzero().flatten().tolist()
        if len(bad) > self.max_bad_share * len(self):
            names = ", ".join(self.files[i].path for i in bad[:3])
            raise RuntimeError(
                f"{len(bad)} of {len(self)} {self.kind} in {self.where()} cannot be read, more than max_bad_share "
                f"{self.max_bad_share:g} allows: {names}{', ...' if len(bad) > 3 else ''}"
            )


def find_files(root: Path, folder: Path, extensions: Sequence[str], kind: str) -> list[MediaFile]:
    """The files below a folder in the order of their paths, labelled by the folder's subfolders.

    Args:
        root: paths are relative to this.
        folder: where to look; where files lie in itself, none is labelled.
        extensions: endings of the files, in small letters.
        kind: what they hold, for messages.

    Raises:
        FileNotFoundError: if it is missing or without such files.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}.")
    files = sorted(_walk(root, folder, tuple(extensions)), key=lambda file: file.path)
    if not files:
        raise FileNotFoundError(f"there are no {kind} in {folder}: looked for {', '.join(extensions)}.")
    loose = [file.path for file in files if file.label is None]
    if not loose:
        return files
    if len(loose) < len(files):
        warnings.warn(f"{root / loose[0]} lies beside folders, not in one: all {kind} are unlabelled.", stacklevel=2)
    return [MediaFile(file.path, None) for file in files]


def _walk(root: Path, folder: Path, extensions: tuple[str, ...]) -> Iterator[MediaFile]:
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(parent).relative_to(folder).parts
        prefix = "".join(f"{part}/" for part in Path(parent).relative_to(root).parts)
        for name in names:
            if name.lower().endswith(extensions) and not name.startswith("."):
                yield MediaFile(prefix + name, inside[0] if inside else None)
