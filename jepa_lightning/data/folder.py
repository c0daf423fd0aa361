"""Files with labels or without: the split, and folders with a subfolder for each class."""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.data import Subset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.media_files import MediaFile, MediaFiles, find_files
from jepa_lightning.options import OpenShare, Seed, Share, check_options


class FilesDataModule(JEPADataModule):
    """Base of the data that lies in files.

    Args:
        root: folder that paths start from.
        val_fraction: share of each class for validation, where nothing is set apart for it.
        max_bad_share: greatest share of files that may be unreadable; fewer are left out, each with a warning.
        seed: of the split.
        options: of `JEPADataModule`.

    Attributes:
        files: the data set of them.

    Raises:
        ValueError: if `val_fraction` is not between 0 and 1.
    """

    files: ClassVar[type[MediaFiles]]
    class_names: tuple[str, ...]

    def __init__(
        self,
        root: str | Path,
        val_fraction: OpenShare = 0.1,
        max_bad_share: Share = 0.05,
        seed: Seed = 0,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        self.root = Path(root)
        self.val_fraction = val_fraction
        self.max_bad_share = max_bad_share
        self.seed = seed

    @property
    def num_classes(self) -> int:
        """Number of classes, 0 without labels; known after `setup`."""
        return len(self.class_names)

    @abstractmethod
    def find(self) -> tuple[list[MediaFile], list[MediaFile]]:
        """The files for training, by class, and those for validation; where there are none of these, some are drawn."""

    def build_datasets(self) -> tuple[Subset[Any], Subset[Any]]:
        """Finds the files and splits them.

        Raises:
            FileNotFoundError: if a folder is missing or without files.
            ValueError: if there is a class in validation that training lacks, or if there are too few files to split.
        """
        train, val = self.find()
        self.class_names = _classes(train)
        unknown = [file for file in val if file.label is not None and file.label not in self.class_names]
        if unknown:
            where = self.root / unknown[0].path
            raise ValueError(f"{where} is for validation, and of the class {unknown[0].label!r}, which training lacks.")
        if not val:
            train, val = self._split(train)
        files = self.files(self.root, [*train, *val], self.class_names, self.max_bad_share)
        return Subset(files, range(len(train))), Subset(files, range(len(train), len(files)))

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


class FolderDataModule(FilesDataModule):
    """Base of the folders: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or files without labels.

    Folders inside a class belong to it, hidden files and folders to nothing. Where files lie beside the folders, there
    are no classes and all files below are unlabelled. Without ``val`` a fraction of each class validates.

    Attributes:
        extensions: endings of the files, in small letters.
    """

    extensions: Sequence[str]

    def find(self) -> tuple[list[MediaFile], list[MediaFile]]:
        """The files of the folders.

        Raises:
            FileNotFoundError: if a folder is missing or without files.
        """
        train, val = self.root / "train", self.root / "val"
        split = train.is_dir()
        folders = (train if split else self.root, val if split and val.is_dir() else None)
        first, second = (
            find_files(self.root, folder, self.extensions, self.files.kind) if folder else [] for folder in folders
        )
        return first, second
