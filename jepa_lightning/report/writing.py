"""From a run's folder to its report."""

from pathlib import Path

import yaml

from jepa_lightning.report.files import MB, read_regular, replace_report
from jepa_lightning.report.history import History, read_history
from jepa_lightning.report.page import page
from jepa_lightning.report.pictures import FOLDER, Film, find_pictures

LARGEST_HISTORY, LARGEST_CONFIG = 64 * MB, MB // 4
CONFIG, FIRST = "config.yaml", "history.jsonl"


def write_report(folder: Path, history: str, report: str) -> list[str]:
    """Writes the report of a run.

    Args:
        folder: of the run.
        history: name of its record.
        report: name of the file to write, in place of an older report.

    Returns:
        What the report lacks, and why.

    Raises:
        OSError: if a file cannot be read or written.
        ValueError: if the record is none, or something else has the name of the report.
    """
    record, faults = _record(folder, history)
    config = ""
    try:
        config = _config(folder)
    except FileNotFoundError:  # a run of a script has none
        pass
    except (OSError, ValueError) as error:
        faults.append(f"{CONFIG}, which {_said(error)}")
    films: list[Film] = []
    if history == FIRST:
        films, unread = find_pictures(folder)
        faults += unread
    elif (folder / FOLDER).exists():  # they do not say of which run they are
        faults.append(f"{FOLDER}, which may be of another run in this folder")
    replace_report(folder / report, page(record, config, films, faults))
    return faults


def _record(folder: Path, name: str) -> tuple[History, list[str]]:
    try:
        text = read_regular(folder, name, LARGEST_HISTORY).decode(errors="replace")
    except ValueError as error:
        raise ValueError(f"{folder / name} {error}: it is no record of a run.") from error
    record, broken = read_history(text)
    if not record.starts:
        raise ValueError(f"{folder / name} is no record of a run: it does not have the start of one.")
    more = f" and {len(broken) - 1} more" if len(broken) > 1 else ""
    return record, [f"line {broken[0]}{more} of {name}, which cannot be read"] if broken else []


def _config(folder: Path) -> str:
    text = read_regular(folder, CONFIG, LARGEST_CONFIG).decode()
    try:
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError("is no YAML, or was cut") from error
    if not isinstance(content, dict):
        raise ValueError("is no configuration")
    return text


def _said(error: OSError | ValueError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "is not in UTF-8"
    return f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
