"""Files and folders of weights that appear whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from jepa_lightning.checkpoints import appearing

KEPT = ("README.md",)  # a person may have written on


@contextmanager
def folder_appearing(place: Path) -> Iterator[Path]:
    """Gives a folder to write to, which takes its name when the block ends; if the block fails nothing has changed.

    What is in an older folder of that name stays, but for files that are written again, of which each is replaced in
    one step, the configuration last. A README is not replaced.

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
    with TemporaryDirectory(dir=place, prefix=".unfinished-") as name:
        yield Path(name)
        for path in sorted(Path(name).iterdir(), key=lambda path: (path.name == "config.json", path.name)):
            if not (path.name in KEPT and (place / path.name).exists()):
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
    with TemporaryDirectory(dir=path.parent, prefix=".unfinished-") as name:
        yield Path(name, path.name)
        # what else belongs to it comes first
        for part in sorted(Path(name).iterdir(), key=lambda part: part.name == path.name):
            os.replace(part, path.parent / part.name)
