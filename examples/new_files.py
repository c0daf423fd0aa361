"""Files that an example is about to write, and must not replace."""

import os
from pathlib import Path

WRITTEN = (".csv", ".json", ".md", ".png")  # ends of what examples write beside each other


def path_of(out: Path, suffix: str) -> Path:
    """One of the files of ``--out``: ``name.v2`` gives ``name.v2.csv``, and so does ``name.v2.md``.

    Args:
        out: what was given. What stands behind the last point is left out where an example writes such files, and is a
            part of the name otherwise.
        suffix: of the file.
    """
    name = out.stem if out.suffix in WRITTEN else out.name
    return out.with_name(name + suffix)


def refuse_existing(*paths: Path | str, option: str = "--out") -> None:
    """Ends before the work if one of the files is there: nobody knows whose it is.

    Args:
        paths: the files.
        option: of the command line, that names them.

    Raises:
        SystemExit: if there is one.
    """
    for path in paths:
        if os.path.lexists(path):
            raise SystemExit(f"{path} exists, and it is left as it is: give another {option}, or remove it.")
