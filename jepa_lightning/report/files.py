"""Files of a run's folder: regular ones alone are read, within a limit, and only a report of ours is replaced."""

import os
import stat
import tempfile
from pathlib import Path

HISTORY, REPORT = "history", "report"
MARK = '<meta name="generator" content="jepa_lightning'
MB = 10**6


def read_regular(folder: Path, name: str, limit: int) -> bytes:
    """Reads a file in a folder. Links on the way to it are refused, so nothing outside of the folder is read.

    Args:
        folder: may be a link itself: a person has named it.
        name: path from there.
        limit: bytes.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is no regular file, is behind a link, or is larger, in words that follow its name.
    """
    path = folder
    for part in Path(name).parts:
        path = path / part
        kind = path.lstat().st_mode
        if stat.S_ISLNK(kind):
            raise ValueError("is behind a link" if path != folder / name else "is a link")
    if not stat.S_ISREG(kind):  # before it is opened: a pipe would wait for a writer
        raise ValueError("is no regular file")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(path, flags), "rb") as file:
        content = file.read(limit + 1)
        if len(content) > limit:
            size = os.fstat(file.fileno()).st_size
            raise ValueError(f"has {size / MB:,.1f} MB, and {limit / MB:g} are read")
    return content


def new_names(folder: Path, resumes: bool) -> tuple[str, str]:
    """Names of the record and of the report of a run.

    Args:
        folder: of the run.
        resumes: whether the run continues the newest record there; otherwise it has names that are not taken.
    """
    number = 0
    while any(os.path.lexists(folder / name) for name in _names(number)):
        number += 1
    if resumes and number:
        number -= 1
    return _names(number)


def newest_names(folder: Path) -> tuple[str, str] | None:
    """Names of the newest record in a folder and of its report; None where there is no record."""
    history, report = new_names(folder, resumes=True)
    return (history, report) if os.path.lexists(folder / history) else None


def replace_report(path: Path, text: str) -> None:
    """Writes a report whole, in place of an older one.

    Raises:
        OSError: if it cannot be written.
        ValueError: if something else has its name.
    """
    if os.path.lexists(path):
        try:
            own = MARK.encode() in read_regular(path.parent, path.name, 100 * MB)[:1000]
        except ValueError:
            own = False
        if not own:
            raise ValueError(f"{path} is no report of a run and is left as it is: give it another name.")
    number, place = tempfile.mkstemp(prefix=".report", suffix=".html", dir=path.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        os.umask(mask := os.umask(0o077))
        os.chmod(place, 0o666 & ~mask)
        os.replace(place, path)
    except BaseException:
        Path(place).unlink(missing_ok=True)
        raise


def _names(number: int) -> tuple[str, str]:
    end = f"-v{number}" if number else ""
    return f"{HISTORY}{end}.jsonl", f"{REPORT}{end}.html"
