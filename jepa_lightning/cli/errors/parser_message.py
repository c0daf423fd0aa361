"""The faults in a message of the parser, which nests one inside another, by indentation."""

import re
from collections.abc import Iterator
from typing import NamedTuple

# lines that frame a fault and do not say what it is
FRAME = re.compile(
    r"Does not validate against|Subtypes:|Errors:|Given value|Expected an? <class 'NoneType'>|Expected a path but|"
    r"Subclass types expect|(a|an) (class path|dict) |a dict |\d+ validation error|"
    r"For further information visit"
)


class Fault(NamedTuple):
    """What is wrong with one value, or with one of the types that it may have.

    Attributes:
        key: the option, with dots.
        classes: the classes that the option is inside of, outermost first.
        text: the parser's words.
        value: the value as the user gave it, or "" where the message does not have it.
    """

    key: str
    classes: tuple[str, ...]
    text: str
    value: str


class _Line(NamedTuple):
    indent: int
    text: str


def faults(message: str) -> list[Fault]:
    """The faults of a message that are about the innermost option in it, in the message's order.

    An option that is wrong inside a class says more than that the class itself is not accepted, or that another class
    that was tried does not have the option.

    Args:
        message: of the parser.
    """
    lines = [_Line(len(line) - len(line.lstrip()), line.strip().removeprefix("- ")) for line in message.splitlines()]
    found = list(_walk([line for line in lines if line.text], "", (), ""))
    if not found:
        return []
    deepest = max(found, key=lambda fault: fault.key.count(".") + bool(fault.key))
    return [fault for fault in found if (fault.key, fault.classes) == (deepest.key, deepest.classes)]


def _walk(lines: list[_Line], key: str, classes: tuple[str, ...], value: str) -> Iterator[Fault]:
    """The faults in lines of one block, under the option and the classes around it."""
    if not lines:
        return
    top = min(line.indent for line in lines)
    for line in lines:
        if line.indent == top and (given := re.match(r"Given value: (.*)", line.text)):
            value = _given(given[1])
    starts = [i for i, line in enumerate(lines) if line.indent == top]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        text, inner = lines[start].text, lines[start + 1 : end]
        if parser_key := re.match(r'(?:.*?: )?[Pp]arser key "([^"]+)":?\s*(.*)', text):
            name = parser_key[1]
            # faults of a file that is the value of an option have their full names
            whole = f"{name}.".startswith(f"{key}.")
            below = key if name == "config" else name if whole else f"{key}.{name}".strip(".")
            if parser_key[2]:
                yield _fault(parser_key[2], below, classes, value)
            # a block may follow without being indented
            yield from _walk(inner or (lines[end:] if end < len(lines) else []), below, classes, value)
            if not inner:
                return
        elif problem := re.match(r"Problem with given class_path '([^']+)'", text):
            yield from _walk(inner, key, (*classes, problem[1]), value)
        elif FRAME.match(text) or (inner and text.startswith("Unable to load config")):
            yield from _walk(inner, key, classes, value)
        else:
            yield _fault(text, key, classes, value)


def _fault(text: str, key: str, classes: tuple[str, ...], value: str) -> Fault:
    text, has_value, got = text.partition(". Got value:")
    return Fault(key, classes, text, got.strip() or ("''" if has_value else value))


def _given(value: str) -> str:
    """The value inside of what the parser passes around."""
    nested = re.match(r"NestedArg\(key='[^']*', val=(.*)\)$", value)
    return nested[1].strip("'\"") if nested else value
