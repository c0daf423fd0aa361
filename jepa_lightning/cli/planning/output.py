"""The folder of results: nothing of another origin in it is replaced."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints import appearing
from jepa_lightning.cli.errors import UsageError

RESULTS, FILM = "results.json", "episodes.gif"
MADE_BY = "jepa-lightning plan"
LARGEST = 50_000_000  # bytes of results


def check_output(output: str, overwrite: bool) -> Path:
    """The folder to write to, before anything is computed.

    Args:
        output: its path; it may not exist.
        overwrite: replace results of this command.

    Raises:
        UsageError: if it is no folder, or holds what may not be replaced.
    """
    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file: give a folder.")
    found = [name for name in (RESULTS, FILM) if (folder / name).exists() or (folder / name).is_symlink()]
    if not found:
        return folder
    if results_in(folder / RESULTS, MADE_BY) is None:
        raise UsageError(f"{folder / found[0]} was not made by {MADE_BY}: give another --output.")
    if not overwrite:
        raise UsageError(f"{folder / found[0]} is there already: give another --output, or --overwrite true.")
    return folder


def write(folder: Path, results: Mapping[str, Any], film: bytes | None) -> None:
    """Writes both files, each of them whole.

    At no moment there is a film without results, which would be taken for one of another origin, or beside others.

    Raises:
        RuntimeError: if they cannot be written.
    """
    text = json.dumps({"made_by": MADE_BY, **results}, indent=1, allow_nan=False) + "\n"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILM).unlink(missing_ok=True)
        with appearing(folder / RESULTS) as path:
            path.write_text(text)
        if film is not None:
            with appearing(folder / FILM) as path:
                path.write_bytes(film)
    except OSError as error:
        raise RuntimeError(f"cannot write to {folder}: {error.strerror or error}.") from error


def results_in(path: Path, made_by: str) -> dict[str, Any] | None:
    """The results in a file; None where a command has not made it.

    Args:
        path: of the file, which may not exist.
        made_by: the command.
    """
    try:
        if path.is_symlink() or not path.is_file() or path.stat().st_size > LARGEST:
            return None
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) and content.get("made_by") == made_by else None
