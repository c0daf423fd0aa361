"""Files as a data set, with account of those that cannot be read."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from jepa_lightning.data.file_list import FileList


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

    def __init__(self, root: Path, files: Sequence[Any], classes: Sequence[str], max_bad_share: float = 0.05) -> None:
        self.root = root
        self.files = FileList(files) if isinstance(files, list | tuple) else files
        self.classes = {name: i for i, name in enumerate(classes)}
        self.max_bad_share = max_bad_share
        self.bad = torch.zeros(len(files), dtype=torch.bool).share_memory_()  # type: ignore[no-untyped-call]

    @abstractmethod
    def read(self, index: int, file: Any) -> Any:
        """The content of the file at an index; whatever is raised counts as unreadable."""

    def where(self, index: int | None = None) -> str:
        """The place of a file, or of all of them, for messages."""
        return str(self.root if index is None else self.root / self.files[index].path)

    def paths_of(self, file: Any) -> Sequence[Path]:
        """All files that a sample is read from."""
        return (self.root / file.path,)

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
        warnings.warn(f"cannot read {self.where(index)}, left out: {str(error) or type(error).__name__}", stacklevel=3)
        self.bad[index] = True
        # of a copy: other workers write to it, and nonzero fails where there are more at the end than it has counted
        bad = self.bad.clone().nonzero().flatten().tolist()
        if len(bad) > self.max_bad_share * len(self):
            names = ", ".join(self.files[i].path for i in bad[:3])
            raise RuntimeError(
                f"{len(bad)} of {len(self)} {self.kind} in {self.where()} cannot be read, more than max_bad_share "
                f"{self.max_bad_share:g} allows: {names}{', ...' if len(bad) > 3 else ''}"
            )
