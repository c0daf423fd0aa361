"""Results for people: a table, and a row of Markdown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

SHARES = ("accuracy", "map", "miou", "j_and_f", "r2")  # metrics in percent


def table(results: Mapping[str, Any], protocols: Sequence[str]) -> str:
    """Lines with the main metric of each label, by protocol, of the subject and beside it of the baselines.

    Args:
        results: as they are written.
        protocols: to show.
    """
    subjects = {results["encoder"]: results, **results["baselines"]}
    widths = [max(26, len(results["encoder"]) + 2), *(max(12, len(name) + 2) for name in results["baselines"])]
    names = [f"  {label}, {main(record)[0]}" for name in protocols for label, record in results[name].items()]
    first = max(32, *(len(name) + 2 for name in ["", *names]))
    lines = [" " * first + "".join(f"{name:>{width}}" for name, width in zip(subjects, widths, strict=True))]
    for protocol in protocols:
        lines.append(protocol)
        for label, record in results[protocol].items():
            values = [_shown(found.get(protocol, {}).get(label)) for found in subjects.values()]
            values[0] += _interval(record)
            cells = "".join(f"{value:>{width}}" for value, width in zip(values, widths, strict=True))
            lines.append(f"  {label}, {main(record)[0]}".ljust(first) + cells)
    return "\n".join(lines)


def markdown(results: Mapping[str, Any], protocols: Sequence[str]) -> str:
    """A table of Markdown with one row: of each label and protocol, the commit, the seed, the data and the command."""
    cells = {"encoder": results["encoder"]}
    for protocol in protocols:
        for label, record in results[protocol].items():
            cells[f"{protocol} {label}, {main(record)[0]}"] = f"{_shown(record)}{_interval(record)}"
    commit, seed = results["commit"] or "-", results["seed"]
    cells |= {"commit": commit, "seed": str(seed), "data": results["data_fingerprint"][:12]}
    cells["command"] = f"`{results['command']}`"
    lines = (cells, ["---"] * len(cells), cells.values())
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def main(record: Mapping[str, Any]) -> tuple[str, float]:
    """The main metric of a record and its value: the first that is there, NaN where it is null."""
    return next(
        (name, math.nan if value is None else value)
        for name, value in record.items()
        if value is None or isinstance(value, float)
    )


def _cell(text: str) -> str:
    """Text of one cell: a label or a name of a file may have what would end it."""
    return " ".join(text.splitlines()).replace("|", "\\|")


def _shown(record: Mapping[str, Any] | None) -> str:
    if record is None:
        return "-"
    metric, value = main(record)
    return f"{100 * value:.1f}" if metric in SHARES else f"{value:.3f}"


def _interval(record: Mapping[str, Any]) -> str:
    if "interval" not in record:
        return ""
    low, high = (math.nan if end is None else end for end in record["interval"])
    metric, _ = main(record)
    return f" ({100 * low:.1f} to {100 * high:.1f})" if metric in SHARES else f" ({low:.3f} to {high:.3f})"
