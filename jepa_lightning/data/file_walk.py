"""Finding files in folders: links, classes, and what is passed over."""

import os
import stat
import warnings
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SYSTEM_FOLDERS = ("lost+found",)  # which only root may list, on every disk with an ext file system


class MediaFile(NamedTuple):
    """Path relative to the root, and name of the class or None."""

    path: str
    label: str | None


def find_files(root: Path, folder: Path, extensions: Sequence[str], kind: str) -> list[MediaFile]:
    """The files below a folder in the order of their paths, labelled by the folder's subfolders.

    Links are followed. A folder or a file that a link reaches a second time counts once, under its own path. What is
    passed over is named in a warning: files with other endings, and what is not a regular file.

    Args:
        root: paths are relative to this.
        folder: where to look; where files lie in itself, none is labelled.
        extensions: endings of the files, in small letters.
        kind: what they hold, for messages.

    Raises:
        FileNotFoundError: if it is missing or without such files.
        ValueError: if it is a file, or if a folder in it cannot be listed.
    """
    # those of Path raise where a name is too long
    if os.path.lexists(folder) and not os.path.isdir(folder):
        raise ValueError(f"{folder} is not a folder.")
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder}.")
    walk = _Walk(folder, tuple(extensions))
    prefix = "".join(f"{part}/" for part in folder.relative_to(root).parts)
    files = sorted(MediaFile(prefix + name, name.split("/")[0] if "/" in name else None) for name in walk.files())
    walk.warn(kind)
    if not files:
        raise FileNotFoundError(f"there are no {kind} in {folder}: looked for {', '.join(extensions)}.")
    loose = [file.path for file in files if file.label is None]
    if not loose:
        return files
    if len(loose) < len(files):
        warnings.warn(f"{root / loose[0]} lies beside folders, not in one: all {kind} are unlabelled.", stacklevel=2)
    return [MediaFile(file.path, None) for file in files]


def holds_files(folder: Path, extensions: Sequence[str], deep: bool = True) -> bool:
    """Whether there is a file with one of the endings in a folder, or, if ``deep``, in one below it."""
    names = _Walk(folder, tuple(extensions), deep).files()
    return next(iter(names), None) is not None


def subfolders(folder: Path) -> list[Path]:
    """The folders in a folder that are not hidden, by name.

    Raises:
        ValueError: if it cannot be listed.
    """
    return sorted(Path(entry.path) for entry in _entries(folder) if _is_folder(entry) and _shown(entry.name))


def require_regular(path: Path) -> None:
    """Refuses what is not a regular file: reading a pipe or a device may never end.

    Raises:
        OSError: if it is something else, or missing.
    """
    try:
        mode = os.stat(path).st_mode
    except ValueError as error:  # a NUL in the name
        raise OSError(str(error)) from error
    if not stat.S_ISREG(mode):
        raise OSError("it is not a regular file.")


class _Walk:
    """One pass through a folder, with account of what is passed over.

    Linked folders come after all others: a folder that is reached both ways has the path without a link.
    """

    def __init__(self, folder: Path, extensions: tuple[str, ...], deep: bool = True) -> None:
        self.folder, self.extensions, self.deep = folder, extensions, deep
        self.endings: Counter[str] = Counter()
        self.special: list[str] = []
        self.repeated: list[str] = []

    def files(self) -> Iterator[str]:
        """The files' paths relative to the folder."""
        links: list[tuple[str, str]] = []
        found: set[int] = set()  # inodes, compared only with the targets of links
        for name, entry in self._visit():
            if not _shown(entry.name):
                continue
            if not entry.name.lower().endswith(self.extensions):
                self.endings[Path(entry.name).suffix.lower() or "none"] += 1
            elif entry.is_symlink():
                links.append((name, entry.path))
            elif entry.is_file(follow_symlinks=False):
                found.add(entry.inode())
                yield name
            else:
                self.special.append(entry.path)
        yield from self._linked(links, found)

    def _linked(self, links: Iterable[tuple[str, str]], found: set[int]) -> Iterator[str]:
        seen: set[tuple[int, int]] = set()
        top = self.folder.resolve()
        for name, path in sorted(links):
            try:
                target = os.stat(path)
            except OSError:
                yield name  # a link to nothing counts as an unreadable file
                continue
            inside = Path(os.path.realpath(path)).is_relative_to(top)
            if (target.st_dev, target.st_ino) in seen or (inside and target.st_ino in found):
                self.repeated.append(path)
            elif stat.S_ISREG(target.st_mode):
                seen.add((target.st_dev, target.st_ino))
                yield name
            else:
                self.special.append(path)

    def _visit(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """What is in the folders, except folders, with its path relative to the first one."""
        # a link to a folder above would read what lies beside the first one
        entered = {_identity(parent) for parent in self.folder.resolve().parents}
        here: deque[tuple[str, Path]] = deque([("", self.folder)])
        linked: deque[tuple[str, Path]] = deque()
        while here or linked:
            prefix, folder = here.popleft() if here else linked.popleft()
            if (identity := _identity(folder)) in entered:
                self.repeated.append(str(folder))
                continue
            entered.add(identity)
            for entry in sorted(_entries(folder), key=lambda entry: entry.name):
                if not _is_folder(entry):
                    yield prefix + entry.name, entry
                elif self.deep and _shown(entry.name):
                    (linked if entry.is_symlink() else here).append((f"{prefix}{entry.name}/", Path(entry.path)))

    def warn(self, kind: str) -> None:
        """Names what was passed over, one warning for each reason."""
        if self.endings:
            endings = ", ".join(f"{ending} ({count})" for ending, count in self.endings.most_common(8))
            warnings.warn(
                f"{self.endings.total()} files in {self.folder} are not read as {kind}, because of their endings: "
                f"{endings}. Endings that are read: {', '.join(self.extensions)}.",
                stacklevel=3,
            )
        reasons = (("not regular files", self.special), ("links to what is found elsewhere", self.repeated))
        for reason, paths in reasons:
            if paths:
                more = ", ..." if len(paths) > 3 else ""
                warnings.warn(
                    f"{len(paths)} entries in {self.folder} are not read, because they are {reason}: "
                    f"{', '.join(paths[:3])}{more}.",
                    stacklevel=3,
                )


def _shown(name: str) -> bool:
    return not name.startswith(".") and name not in SYSTEM_FOLDERS


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # links that point to each other
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        raise ValueError(
            f"cannot list {folder}: {error.strerror}. Make it readable, or move it out of the data."
        ) from error
