"""Files that an example is about to write, and must not replace."""

import os
from pathlib import Path


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
