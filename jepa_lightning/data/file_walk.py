"""Finding files in folders: links, classes, and what is passed over."""

import os
import stat
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from jepa_lightning.data.folder_listing import contents, identity, require_folder
from jepa_lightning.data.passed_over import PassedOver
from jepa_lightning.data.shards.index import INDEX_FILE, holds_shards


class MediaFile(NamedTuple):
    """Path relative to the root, and name of the class or None."""

    path: str
    label: str | None


def find_files(root: Path, folder: Path, extensions: Sequence[str], kind: str) -> list[MediaFile]:
    """The files below a folder in the order of their paths, labeled by the folder's subfolders.

    Links are followed. A folder or a file that a link reaches a second time counts once, under its own path. What is
    passed over is named in a warning: files with other endings, what is not a regular file, and shards.

    Args:
        root: paths are relative to this.
        folder: where to look; where files lie in itself, none is labeled.
        extensions: endings of the files, in small letters.
        kind: what they hold, for messages.

    Raises:
        FileNotFoundError: if it is missing or without such files.
        ValueError: if it is a file, or if a folder in it cannot be listed.
    """
    require_folder(folder)
    walk = _Walk(folder, tuple(extensions))
    prefix = "".join(f"{part}/" for part in folder.relative_to(root).parts)
    files = sorted(MediaFile(prefix + name, name.split("/")[0] if "/" in name else None) for name in walk.files())
    walk.passed.warn(kind)
    if not files:
        raise walk.passed.missing(kind, f"looked for {', '.join(extensions)}")
    loose = [file.path for file in files if file.label is None]
    if not loose:
        return files
    if len(loose) < len(files):
        warnings.warn(f"{root / loose[0]} lies beside folders, not in one: all {kind} are unlabeled.", stacklevel=2)
    return [MediaFile(file.path, None) for file in files]


def holds_files(folder: Path, extensions: Sequence[str], deep: bool = True) -> bool:
    """Whether there is a file with one of the endings in a folder, or, if ``deep``, in one below it."""
    names = _Walk(folder, tuple(extensions), deep).files()
    return next(iter(names), None) is not None


class _Walk:
    """One pass through a folder, with account of what is passed over.

    Linked folders come after all others: a folder that is reached both ways has the path without a link.
    """

    def __init__(self, folder: Path, extensions: tuple[str, ...], deep: bool = True) -> None:
        self.folder, self.extensions, self.deep = folder, extensions, deep
        self.passed = PassedOver(folder, extensions)

    def files(self) -> Iterator[str]:
        """The files' paths relative to the folder."""
        links: list[tuple[str, str]] = []
        found: set[int] = set()  # inodes, compared only with the targets of links
        for name, entry in self._visit():
            if not entry.name.lower().endswith(self.extensions):
                self.passed.count_ending(entry.name)
            elif entry.is_symlink():
                links.append((name, entry.path))
            elif entry.is_file(follow_symlinks=False):
                found.add(entry.inode())
                yield name
            else:
                self.passed.special.append(entry.path)
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
                self.passed.repeated.append(path)
            elif stat.S_ISREG(target.st_mode):
                seen.add((target.st_dev, target.st_ino))
                yield name
            else:
                self.passed.special.append(path)

    def _visit(self) -> Iterator[tuple[str, os.DirEntry[str]]]:
        """What is in the folders, except folders, with its path relative to the first one."""
        # a link to a folder above would read what lies beside the first one
        entered = {identity(parent) for parent in self.folder.resolve().parents}
        here: deque[tuple[str, Path]] = deque([("", self.folder)])
        linked: deque[tuple[str, Path]] = deque()
        while here or linked:
            prefix, folder = here.popleft() if here else linked.popleft()
            if (place := identity(folder)) in entered:
                self.passed.repeated.append(str(folder))
                continue
            entered.add(place)
            folders, others = contents(folder)
            if any(entry.name == INDEX_FILE for entry in others) and holds_shards(folder):
                self.passed.shards.append(str(folder))
                continue
            yield from ((prefix + entry.name, entry) for entry in others)
            for entry in folders if self.deep else ():
                (linked if entry.is_symlink() else here).append((f"{prefix}{entry.name}/", Path(entry.path)))
