"""Any folder of files, with a subfolder for each class or without labels."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.data import Subset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.media_files import MediaFile, MediaFiles, find_files


class FolderDataModule(JEPADataModule):
    """Base of the folders: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or files without labels.

    Folders inside a class belong to it, hidden files and folders to nothing. Where files lie beside the folders, there
    are no classes and all files below are unlabelled. Without ``val`` a fraction of each class validates.

    Args:
        root: the folder.
        val_fraction: share of each class for validation, where there is no folder ``val``.
        max_bad_share: greatest share of files that may be unreadable; fewer are left out, each with a warning.
        seed: of the split.
        options: of `JEPADataModule`.

    Attributes:
        extensions: endings of the files, in small letters.
        files: the data set of them.

    Raises:
        ValueError: if `val_fraction` is not between 0 and 1.
    """

    extensions: ClassVar[Sequence[str]]
    files: ClassVar[type[MediaFiles]]
    class_names: tuple[str, ...]

    def __init__(
        self,
        root: str | Path,
        val_fraction: float = 0.1,
        max_bad_share: float = 0.05,
        seed: int = 0,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if not 0 < val_fraction < 1:
            raise ValueError(f"val_fraction {val_fraction} is not between 0 and 1.")
        self.root = Path(root)
        self.val_fraction = val_fraction
        self.max_bad_share = max_bad_share
        self.seed = seed

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without labels; known after `setup`."""
        return len(self.class_names)

    def build_datasets(self) -> tuple[Subset[Any], Subset[Any]]:
        """Finds the files and splits them.

        Raises:
            FileNotFoundError: if a folder is missing or without files.
            ValueError: if the validation folder has a class that the training folder lacks, or if there are too few
                files to split.
        """
        train_folder, val_folder = self.root / "train", self.root / "val"
        split = train_folder.is_dir()
        train = self._find(train_folder if split else self.root)
        val = self._find(val_folder) if split and val_folder.is_dir() else []
        self.class_names = _classes(train)
        unknown = [name for name in _classes(val) if name not in self.class_names]
        if unknown:
            raise ValueError(f"{val_folder} has the class {unknown[0]!r}, which {train_folder} lacks.")
        if not val:
            train, val = self._split(train)
        files = self.files(self.root, [*train, *val], self.class_names, self.max_bad_share)
        return Subset(files, range(len(train))), Subset(files, range(len(train), len(files)))

    def _find(self, folder: Path) -> list[MediaFile]:
        return find_files(self.root, folder, self.extensions, self.files.kind)

    def _split(self, files: Sequence[MediaFile]) -> tuple[list[MediaFile], list[MediaFile]]:
        """Draws a share of each class, at least one file of those with two."""
        generator = torch.Generator().manual_seed(self.seed)
        train: list[MediaFile] = []
        val: list[MediaFile] = []
        for _, group in groupby(files, key=lambda file: file.label):
            members = list(group)
            order = torch.randperm(len(members), generator=generator).tolist()
            taken = min(max(1, round(self.val_fraction * len(members))), len(members) - 1)
            val += [members[i] for i in sorted(order[:taken])]
            train += [members[i] for i in sorted(order[taken:])]
        if not val:
            raise ValueError(
                f"{self.root} has no class with two {self.files.kind}, one to train on and one to validate on."
            )
        return train, val


def _classes(files: Sequence[MediaFile]) -> tuple[str, ...]:
    return tuple(sorted({file.label for file in files if file.label is not None}))
