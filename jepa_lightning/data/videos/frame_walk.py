"""Finding folders of frames: clips in folders of their classes, and what is passed over."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from jepa_lightning.data.folder_listing import contents, identity, require_folder
from jepa_lightning.data.passed_over import PassedOver
from jepa_lightning.data.shards.index import holds_shards

LAYOUT = "expected CLASS/CLIP/*, with the frames of a clip in its folder and the clips of a class in another"


class FrameClip(NamedTuple):
    """Path of the folder relative to the root, name of the class, and frames per second or None."""

    path: str
    label: str
    fps: float | None


def find_clips(root: Path, folder: Path, extensions: Sequence[str], fps: float | None) -> list[FrameClip]:
    """The clips ``CLASS/CLIP/*`` in a folder, in the order of their paths.

    Links are followed. A clip that is reached a second time through a link counts once, under its own path; such links,
    files with other endings, and shards are named in a warning. A clip without frames counts as
    unreadable.

    Args:
        root: paths are relative to this.
        folder: holds the folders of the classes.
        extensions: endings of the frames, in small letters.
        fps: frames per second of all clips, where they are known.

    Raises:
        FileNotFoundError: if the folder is missing or without clips.
        ValueError: if it is a file, if a folder in it cannot be listed, if frames do not lie in the folder of a clip,
            or if such a folder holds other folders.
    """
    require_folder(folder)
    passed = PassedOver(folder, extensions)
    classes = _subfolders(folder, passed)
    clips = [(label, clip) for label in classes for clip in _subfolders(label.path, passed)]
    found: set[tuple[int, int]] = set()
    records = []
    for label, clip in sorted(clips, key=lambda pair: pair[0].is_symlink() or pair[1].is_symlink()):
        if (place := identity(clip.path)) in found:
            passed.repeated.append(clip.path)
            continue
        found.add(place)
        inner, files = contents(Path(clip.path))
        if inner:
            raise ValueError(f"{clip.path} is the folder of a clip and holds the folder {inner[0].name}: {LAYOUT}.")
        _frames(files, passed)
        records.append(FrameClip(Path(clip.path).relative_to(root).as_posix(), label.name, fps))
    passed.warn("frames")
    if not records:
        raise passed.missing("folders of frames", LAYOUT)
    return sorted(records)


def _subfolders(folder: str | Path, passed: PassedOver) -> list[os.DirEntry[str]]:
    """The folders in a folder that may not hold frames itself."""
    folders, files = contents(Path(folder))
    if loose := _frames(files, passed):
        raise ValueError(f"{loose[0].path} does not lie in the folder of a clip: {LAYOUT}.")
    shards = [entry.path for entry in folders if holds_shards(Path(entry.path))]
    passed.shards += shards
    return [entry for entry in folders if entry.path not in shards]


def _frames(files: Iterable[os.DirEntry[str]], passed: PassedOver) -> list[os.DirEntry[str]]:
    """Those of the files that have the ending of a frame; the others are counted."""
    frames = []
    for file in files:
        if file.name.lower().endswith(tuple(passed.extensions)):
            frames.append(file)
        else:
            passed.count_ending(file.name)
    return frames
