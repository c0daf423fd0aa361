"""Text of errors: on one line, of a readable length, with the nearest known name."""

import difflib
from collections.abc import Iterable
from typing import Any


def one_line(text: str) -> str:
    """The text with all white space, line breaks too, as single spaces."""
    return " ".join(text.split())


def shortened(value: str, length: int = 120) -> str:
    """A value on one line, cut in its middle where it is longer than ``length`` characters."""
    value, half = one_line(value), length // 2
    return value if len(value) <= length else f"{value[:half]} ... {value[-half:]}"


def near(name: str, known: Iterable[Any]) -> str:
    """The end of a sentence about an unknown name: the known name that is most like it, or a full stop."""
    found = difflib.get_close_matches(name, [str(item) for item in known], n=1)
    return f": did you mean '{found[0]}'?" if found else "."
