"""``jepa-lightning inspect-run``: the report of a run, from what lies in its folder."""

from collections.abc import Sequence
from pathlib import Path

from jsonargparse import ArgumentError, ArgumentParser

from jepa_lightning.checkpoints import run_number
from jepa_lightning.cli.errors import UsageError, explain_usage
from jepa_lightning.report import newest_names, write_report

SHOWN = 5  # faults in a line
RECORD = "history.jsonl"


def inspect_run(arguments: Sequence[str]) -> None:
    """Writes the report of a run that has ended, was killed, or is under way.

    Args:
        arguments: after the name of the command.

    Raises:
        UsageError: if they cannot be understood.
        FileNotFoundError: if there is no such folder.
        ValueError: if it is not the folder of a run, or a file in it cannot be used.
    """
    if not arguments:
        raise UsageError(f"a folder is required{_meant(Path('logs'))}")
    try:
        options = _parser().parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error
    folder = Path(options.folder).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is a file: give its folder." if folder.exists() else f"no folder {folder}.")
    names = newest_names(folder)
    if names is None:
        raise ValueError(f"{folder} has no {RECORD}, which a run writes as it proceeds{_meant(folder)}")
    faults = write_report(folder, *names)
    report = folder / names[1]
    print(f"{report} is the report of this run: open it in a browser.")
    if faults:
        more = f", and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        raise ValueError(f"{report} is written without {'; '.join(faults[:SHOWN])}{more}.")


def _meant(folder: Path) -> str:
    """The newest run below a folder of runs."""
    runs = [path.parent for depth in ("*", "*/*") for path in folder.glob(f"{depth}/{RECORD}")]
    newest = max(runs, key=lambda run: (run_number(run), str(run)), default=None)
    return f": did you mean {newest}?" if newest else ": give the folder of a run, such as logs/IJEPA/version_0."


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="jepa-lightning inspect-run",
        description="Writes report.html into the folder of a run: what it has learned, curves, alarms, pictures, "
        "configuration and versions, in one file for any browser, without scripts and without a network. A run writes "
        "it at its end by itself; the command does so for a run that was killed or is under way, and after an update. "
        "Example: jepa-lightning inspect-run logs/IJEPA/version_0",
        exit_on_error=False,
    )
    parser.add_argument("folder", type=str, help="The folder of the run, with history.jsonl in it.")
    return parser
