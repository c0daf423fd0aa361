"""The table of methods that ``jepa-lightning methods`` prints."""

from collections.abc import Sequence

from jsonargparse import ArgumentError, ArgumentParser

from jepa_lightning import modules
from jepa_lightning.cli.errors import UsageError, explain_usage

COLUMNS = ("method", "predicts", "kept from collapse by", "needs augmentations", "needs negatives")


def methods(arguments: Sequence[str]) -> None:
    """Prints the table.

    Args:
        arguments: after the name of the command; there are none.

    Raises:
        UsageError: if there are.
    """
    description = "Prints what each method predicts and needs."
    parser = ArgumentParser(prog="jepa-lightning methods", description=description, exit_on_error=False)
    try:
        parser.parse_args(list(arguments))
    except ArgumentError as error:
        raise UsageError(explain_usage(str(error))) from error
    print(methods_table())


def methods_table() -> str:
    """What each method predicts and needs, as a Markdown table."""
    rows = []
    for name in modules.__all__:
        traits = getattr(modules, name).traits
        if traits is not None:
            needs = ["yes" if need else "no" for need in (traits.needs_augmentations, traits.needs_negatives)]
            rows.append((name, traits.predicts, traits.kept_from_collapse_by, *needs))
    table = [COLUMNS, *sorted(rows, key=lambda row: (row[1], row[3], row[0].lower()))]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = [" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
    ruler = " | ".join("-" * width for width in widths)
    return "\n".join(f"| {line} |" for line in (lines[0], ruler, *lines[1:]))
