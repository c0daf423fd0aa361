"""The folder of results: those of another evaluation in it are not mixed with these, nor replaced."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints import appearing
from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.planning.output import results_in

RESULTS, ROW = "results.json", "results.md"
MADE_BY = "jepa-lightning evaluate"


def check_output(output: str) -> Path:
    """The folder to write to, before anything is computed.

    Raises:
        UsageError: if it is no folder, or holds results of something else.
    """
    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"--output {folder} is a file: give a folder.")
    path = folder / RESULTS
    if (path.exists() or path.is_symlink()) and results_in(path, MADE_BY) is None:
        raise UsageError(f"{path} was not made by {MADE_BY}: give another --output.")
    return folder


def earlier_results(folder: Path, identity: Mapping[str, Any], overwrite: bool) -> dict[str, Any]:
    """Results of the same evaluation that are there already; new protocols are added to them.

    Args:
        folder: of ``check_output``.
        identity: what is the same in results that belong together, such as fingerprints and the seed.
        overwrite: replace results of another evaluation.

    Raises:
        UsageError: if there are results of another evaluation.
    """
    found = results_in(folder / RESULTS, MADE_BY)
    if found is None:
        return {}
    changed = [name for name, value in identity.items() if found.get(name) != value]
    if not changed:
        return found
    if not overwrite:
        raise UsageError(
            f"{folder / RESULTS} is of another evaluation ({' and '.join(changed)} differ): give another --output, or "
            "--overwrite true to replace it."
        )
    return {}


def write(folder: Path, results: Mapping[str, Any], row: str) -> None:
    """Writes both files, each of them whole.

    Raises:
        RuntimeError: if they cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in ((ROW, row), (RESULTS, json.dumps({"made_by": MADE_BY, **results}, indent=1))):
            with appearing(folder / name) as path:
                path.write_text(text + "\n")
    except OSError as error:
        raise RuntimeError(f"cannot write to {folder}: {error.strerror or error}.") from error
