"""Files with labels or without: the split, and folders with a subfolder for each class."""

import os
import re
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils.data import Subset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.file_walk import MediaFile, find_files, holds_files
from jepa_lightning.data.folder_listing import subfolders
from jepa_lightning.data.media_files import MediaFiles
from jepa_lightning.data.shards.index import holds_shards
from jepa_lightning.options import OpenShare, Seed, Share, check_options

VALIDATION = ("val", "valid", "validation")  # names of the folder beside ``train``, the first of them that is there


class FilesDataModule(JEPADataModule):
    """Data in files.

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
        self.root = Path(root).expanduser()
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
        files = self.file_set([*train, *val])
        return Subset(files, range(len(train))), Subset(files, range(len(train), len(files)))

    def file_set(self, files: Sequence[MediaFile]) -> MediaFiles:
        """The data set of files, whose classes are known by now."""
        return self.files(self.root, files, self.class_names, self.max_bad_share)

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
    """Names of the classes: in the order of numbers where all of them are numbers, else as text."""
    names = {file.label for file in files if file.label is not None}
    numbers = all(re.fullmatch(r"[+-]?\d{1,18}", name, re.ASCII) for name in names)
    return tuple(sorted(names, key=lambda name: (int(name), name)) if numbers else sorted(names))


class FolderDataModule(FilesDataModule):
    """Base of the folders: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or files without labels.

    Folders inside a class belong to it, hidden files and folders to nothing. Where files lie beside the folders, there
    are no classes and all files below are unlabeled. Beside ``train`` the folder for validation may be called ``val``,
    ``valid`` or ``validation``; without it a fraction of each class validates. A folder ``train`` that holds files
    itself, beside other folders that hold some, is a class like these. Classes are in the order of their names, and of
    their numbers where all names are numbers. Shards that ``jepa-lightning pack`` wrote are not read,
    but named in a warning.
    """

    @property
    @abstractmethod
    def extensions(self) -> Sequence[str]:
        """Endings of the files, in small letters."""

    def find(self) -> tuple[list[MediaFile], list[MediaFile]]:
        """The files of the folders; folders that are not read are named in a warning.

        Raises:
            FileNotFoundError: if a folder is missing or without files.
            ValueError: if ``train`` is a file, or if a folder cannot be listed.
        """
        train = self.root / "train"
        if os.path.lexists(train) and not train.is_dir():
            raise ValueError(f"{train} is not a folder: rename it, or put the training files in a folder of that name.")
        siblings = [folder for folder in subfolders(self.root) if folder != train] if train.is_dir() else []
        others = [folder for folder in siblings if holds_files(folder, self.extensions)]
        if not train.is_dir() or holds_shards(train) or self._is_class(train, others):
            return self.samples(self.root), []
        beside = {folder.name: folder for folder in siblings if not holds_shards(folder)}
        val = next((beside[name] for name in VALIDATION if name in beside), None)
        unread = [str(folder) for folder in others if folder != val]
        if unread:
            warnings.warn(
                f"{', '.join(unread[:8])}{', ...' if len(unread) > 8 else ''} will not be read, because there is "
                f"{train}: training reads that folder, and validation {val or 'a share of it'}.",
                stacklevel=2,
            )
        return self.samples(train), [] if val is None else self.samples(val)

    def _is_class(self, train: Path, others: Sequence[Path]) -> bool:
        """Whether ``train`` is the name of a class, as in VOC and COCO."""
        named = any(folder.name not in (*VALIDATION, "test") for folder in others)
        return named and self.holds_samples(train)

    def holds_samples(self, folder: Path) -> bool:
        """Whether there are samples in a folder itself, not only in folders of classes in it."""
        return holds_files(folder, self.extensions, deep=False)

    def samples(self, folder: Path) -> list[Any]:
        """The samples below ``train``, ``val`` or the root, labeled by their folders."""
        return find_files(self.root, folder, self.extensions, self.files.kind)
