"""Lists of videos."""

import csv
import json
import math
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from jepa_lightning.data.folder import FilesDataModule
from jepa_lightning.data.videos.files import VideoFiles

MANIFEST_COLUMNS = ("path", "label", "start", "end")


class VideoPart(NamedTuple):
    """Path relative to the root, name of the class or None, and from which to which second it goes."""

    path: str
    label: str | None
    start: float = 0.0
    end: float | None = None


class VideoManifestDataModule(FilesDataModule):
    r"""Videos named in lists: CSV with a first line ``path,label,start,end``, or JSONL with such keys.

    A label is the name of a class, or empty; start and end are seconds, and may be left out, as may their columns.
    An image among them is a video that stands still.

    Args:
        train: the list for training.
        val: the list for validation; without it a share of each class of the other is drawn.
        root: folder that the paths start from; None is that of the list for training.
        options: of ``FilesDataModule``.

    Example:
        >>> import tempfile
        >>> from pathlib import Path
        >>> from jepa_lightning.data import VideoManifestDataModule
        >>> folder = tempfile.TemporaryDirectory()
        >>> path = Path(folder.name) / "list.csv"
        >>> rows = ["path,label,start,end", "a.mp4,walk,0,2.5", "a.mp4,run,2.5,6", "b.mp4,walk,,", "b.mp4,run,,"]
        >>> _ = path.write_text("\n".join(rows))
        >>> data = VideoManifestDataModule(path)
        >>> data.setup()
        >>> data.class_names
        ('run', 'walk')
    """

    files: ClassVar = VideoFiles

    def __init__(
        self, train: str | Path, val: str | Path | None = None, root: str | Path | None = None, **options: Any
    ) -> None:
        super().__init__(root=Path(train).parent if root is None else root, **options)
        self.train, self.val = Path(train).expanduser(), None if val is None else Path(val).expanduser()

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
    empty = True
    for number, row in _lines(path):
        empty = False
        try:
            yield _part(row)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(
                f"{path}, line {number}: expected {', '.join(MANIFEST_COLUMNS)}, the last two in seconds and at least "
                f"a path; got {row}."
            ) from error
    if empty:
        raise ValueError(
            f"{path} names no videos: expected a first line {','.join(MANIFEST_COLUMNS)}, and one for each video."
        )


def _part(row: Any) -> VideoPart:
    """A video from a line; whatever is wrong with it raises."""
    if not isinstance(row, dict):
        raise TypeError(row)
    path, label = row["path"], row.get("label")
    start, end = (None if row.get(name) in (None, "") else float(row[name]) for name in ("start", "end"))
    # a line with more fields than there are columns keeps them under None
    if not isinstance(path, str) or not path or None in row:
        raise ValueError(path)
    if not 0 <= (start or 0.0) < (math.inf if end is None else end):
        raise ValueError(start, end)
    return VideoPart(path, None if label in (None, "") else str(label), start or 0.0, end)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    """The lines of a list with their numbers."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            if path.suffix.lower() in (".jsonl", ".json"):
                yield from ((number, _json(path, number, line)) for number, line in enumerate(file, 1) if line.strip())
            else:
                reader = csv.DictReader(file)
                reader.fieldnames = _columns(path, reader.fieldnames or ())
                yield from ((reader.line_num, row) for row in reader)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not in UTF-8: {error}.") from error


def _columns(path: Path, names: Sequence[str]) -> list[str]:
    """The names of the columns, whatever their case and the blanks around them.

    Raises:
        ValueError: if columns are divided by something else than commas, or if there is one twice.
    """
    columns = [name.strip().lower() for name in names]
    for delimiter in (";", "\t", "|"):
        if len(columns) == 1 and delimiter in columns[0]:
            raise ValueError(f"{path}, line 1: columns are divided by {delimiter!r}: divide them by commas.")
    _name_unknown(path, columns)
    return columns


def _name_unknown(path: Path, names: Sequence[str]) -> None:
    """Warns of columns that are not read, as a name that is misspelled may be one of them.

    Raises:
        ValueError: if there is a column twice.
    """
    if repeated := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"{path} has the column {repeated[0]!r} twice.")
    if unknown := [name for name in names if name not in MANIFEST_COLUMNS]:
        warnings.warn(
            f"{path}: {', '.join(map(repr, unknown))} will not be read; the columns are {', '.join(MANIFEST_COLUMNS)}.",
            stacklevel=2,
        )


def _json(path: Path, number: int, line: str) -> Any:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {number}: no JSON ({error}).") from error
    if not isinstance(row, dict):
        return row
    names = [name.strip().lower() for name in row]
    _name_unknown(path, names)
    return dict(zip(names, row.values(), strict=True))
