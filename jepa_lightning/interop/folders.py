"""Files and folders of weights that appear whole, or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jepa_lightning.checkpoints import appearing, held_folder
from jepa_lightning.interop.reading import CONFIG, UNFINISHED

KEPT = ("README.md",)  # a person may have written on
HELD = ".unfinished-"  # how the names of folders begin whose content takes its place at the end


@contextmanager
def folder_appearing(place: Path) -> Iterator[Path]:
    """Gives a folder to write to, which takes its name when the block ends; if the block fails nothing has changed.

    What is in an older folder of that name stays, but for files that are written again, of which each is replaced in
    one step. The configuration, which readers look at first, says meanwhile that the folder is not whole, and is
    written last: a process that is killed in between leaves a folder that is refused until it is written again. A
    README is not replaced.

    Args:
        place: the name it takes.

    Raises:
        ValueError: if there is a file of that name, or of one of the folders above it.
    """
    if files := [path for path in (place, *place.parents) if path.exists() and not path.is_dir()]:
        raise ValueError(f"{files[0]} is a file, and a folder is to be written: remove it, or give another name.")
    if not place.exists():
        with appearing(place) as fresh:
            fresh.mkdir()
            yield fresh
        return
    with _empty_folder(place) as made:
        yield made
        kept = [name for name in KEPT if (place / name).exists()]
        paths = [path for path in _written(made, last=CONFIG) if path.name not in kept]
        if made / CONFIG in paths:
            mark = made / f"{CONFIG}.unfinished"
            mark.write_text(json.dumps(UNFINISHED))
            os.replace(mark, place / CONFIG)
        for path in paths:
            os.replace(path, place / path.name)


@contextmanager
def file_appearing(path: Path) -> Iterator[Path]:
    """Gives a place for a new file, in a folder of its own; all that is written there takes its place when it is whole.

    Args:
        path: the name it takes.

    Raises:
        ValueError: if it is there already, or there is no such folder.
    """
    if path.exists():
        raise ValueError(f"{path} is there already: remove it, or give another name.")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to: make it, or give another name.")
    with _empty_folder(path.parent) as made:
        yield made / path.name
        for part in _written(made, last=path.name):  # what else belongs to it comes first
            os.replace(part, path.parent / part.name)


@contextmanager
def _empty_folder(parent: Path) -> Iterator[Path]:
    """Gives a folder on the same disk; what killed processes have left there is removed."""
    with held_folder(parent, HELD) as held:  # in which there is a lock
        made = held / "files"
        made.mkdir()
        yield made


def _written(folder: Path, last: str) -> list[Path]:
    """What lies in a folder, by name, and one of the names at the end."""
    return sorted(folder.iterdir(), key=lambda path: (path.name == last, path.name))
