"""Video files as data: folders, and lists of them."""

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from torch import Tensor

from jepa_lightning.data.folder import FilesDataModule, FolderDataModule
from jepa_lightning.data.media_files import MediaFiles
from jepa_lightning.data.video_file import UnreadableVideoError, VideoFile

EXTENSIONS = (".mp4", ".webm", ".mkv", ".avi", ".mov", ".gif", ".m4v", ".mpg", ".mpeg", ".ogv", ".wmv", ".flv", ".3gp")
COLUMNS = ("path", "label", "start", "end")


class VideoPart(NamedTuple):
    """Path relative to the root, name of the class or None, and from which to which second it goes."""

    path: str
    label: str | None
    start: float = 0.0
    end: float | None = None


class VideoFiles(MediaFiles):
    """Videos from files; frames are decoded when a transform asks for them."""

    kind = "videos"

    def read(self, index: int) -> VideoFile:
        """The video of a file."""
        return _CountedVideo(self, index)


class _CountedVideo(VideoFile):
    """A video whose data set learns of frames that cannot be decoded."""

    def __init__(self, source: VideoFiles, index: int) -> None:
        part: Any = source.files[index]
        super().__init__(source.root / part.path, getattr(part, "start", 0.0), getattr(part, "end", None))
        self._source, self._place = source, index

    def read(self, indices: Any) -> Tensor:
        try:
            return super().read(indices)
        except UnreadableVideoError as error:
            self._source.report(self._place, error)
            raise


class VideoFolderDataModule(FolderDataModule):
    """A folder of videos: ``train/CLASS/*`` and ``val/CLASS/*``, or ``CLASS/*``, or videos without labels.

    How folders are read is ``FolderDataModule``'s, the options are those of ``FilesDataModule``. Needs the extra
    ``video``.
    """

    extensions: ClassVar = EXTENSIONS
    files: ClassVar = VideoFiles


class VideoManifestDataModule(FilesDataModule):
    """Videos named in lists: CSV with a first line ``path,label,start,end``, or JSONL with such keys.

    A label is the name of a class, or empty; start and end are seconds, and may be left out, as may their columns.

    Args:
        train: the list for training.
        val: the list for validation; without it a share of each class of the other is drawn.
        root: folder that the paths start from; None is that of the list for training.
        options: of ``FilesDataModule``.
    """

    files: ClassVar = VideoFiles

    def __init__(
        self, train: str | Path, val: str | Path | None = None, root: str | Path | None = None, **options: Any
    ) -> None:
        super().__init__(root=Path(train).parent if root is None else root, **options)
        self.train, self.val = Path(train), None if val is None else Path(val)

    def find(self) -> tuple[list[Any], list[Any]]:
        """The videos of the lists.

        Raises:
            FileNotFoundError: if a list is missing.
            ValueError: if a line of it is not of this form, with its number.
        """
        lists = [[] if path is None else list(read_manifest(path)) for path in (self.train, self.val)]
        train, val = (sorted(parts, key=lambda part: part.label or "") for parts in lists)
        return train, val


def read_manifest(path: Path) -> Iterator[VideoPart]:
    """The videos of a list, in its order.

    Raises:
        FileNotFoundError: if it is missing.
        ValueError: if a line is not of its form, or there is none.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no list {path}.")
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = _json_lines(path, file) if path.suffix in (".jsonl", ".json") else enumerate(csv.DictReader(file), 2)
        number = 1
        for number, row in rows:
            try:
                start, end = row.get("start"), row.get("end")
                yield VideoPart(
                    _text(row["path"]),
                    None if row.get("label") in (None, "") else str(row["label"]),
                    0.0 if start in (None, "") else float(start),
                    None if end in (None, "") else float(end),
                )
            except (KeyError, TypeError, ValueError) as error:
                raise ValueError(
                    f"{path}, line {number}: expected {', '.join(COLUMNS)}, the last two in seconds and at least a "
                    f"path; got {row}."
                ) from error
    if number == 1:
        raise ValueError(f"{path} names no videos: expected a first line {','.join(COLUMNS)}, and one for each video.")


def _json_lines(path: Path, file: Any) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(file, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"{path}, line {number}: no JSON ({error}).") from error


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(value)
    return value
