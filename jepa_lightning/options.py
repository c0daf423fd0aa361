"""Ranges of options, declared in their types: what ``--help`` shows is what is checked, in YAML and in Python alike."""

import contextlib
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints


@dataclass(frozen=True)
class Interval:
    """Numbers that an option may have, written as in mathematics: ``[0, 1)`` holds 0 and not 1.

    NaN is in no interval, and infinity in none that ends with ``inf)``.

    Example:
        >>> Share = Annotated[float, Interval("[0, 1]")]
        >>> 0.5 in Interval("[0, 1)"), 1 in Interval("[0, 1)")
        (True, False)
    """

    text: str

    def __contains__(self, number: object) -> bool:
        """Whether something is a number in the interval; True and False are none."""
        if not isinstance(number, Real) or isinstance(number, bool):
            return False
        low, high = map(float, self.text[1:-1].split(","))
        try:
            value = float(number)
        except OverflowError:  # an integer of more than 308 digits
            return False
        above = value >= low if self.text[0] == "[" else value > low
        return above and (value <= high if self.text[-1] == "]" else value < high)

    def __repr__(self) -> str:
        """As ``--help`` shows it within the type."""
        return f"in {self.text}"


@dataclass(frozen=True)
class Ascending:
    """Marks pairs whose first number is not above the second."""

    def __repr__(self) -> str:
        """As ``--help`` shows it within the type."""
        return "ascending"


@dataclass(frozen=True)
class NotEmpty:
    """Marks text and sequences that must hold something."""

    def __repr__(self) -> str:
        """As ``--help`` shows it within the type."""
        return "not empty"


# what lies above is a typing error: no size, number of steps or samples, weight of a loss or temperature has a use
# there, and a loop or a weight of 1e30 ends much later, in another error
PositiveInt = Annotated[int, Interval("[1, 1e9]")]
NonNegativeInt = Annotated[int, Interval("[0, 1e9]")]
Seed = Annotated[int, Interval("[0, 4294967295]")]  # as Lightning's seed_everything
PositiveFloat = Annotated[float, Interval("(0, 1e6]")]
NonNegativeFloat = Annotated[float, Interval("[0, 1e6]")]
FiniteFloat = Annotated[float, Interval("[-1e6, 1e6]")]
# rates of SGD and LARS at the largest batches are below 100
LearningRate = Annotated[float, Interval("(0, 1000]")]
Registers = Annotated[int, Interval("[0, 64]")]  # tokens beside those of the patches; the paper has 4, and tries 16
FinalRate = Annotated[float, Interval("[0, 1000]")]  # of the first or the last step, which may stand still
Share = Annotated[float, Interval("[0, 1]")]
PositiveShare = Annotated[float, Interval("(0, 1]")]
ShareBelowOne = Annotated[float, Interval("[0, 1)")]
OpenShare = Annotated[float, Interval("(0, 1)")]
AnyInt = Annotated[int, Interval("[-1e9, 1e9]")]
EMARange = Annotated[tuple[Share, Share], Ascending()]
ShareRange = Annotated[tuple[PositiveShare, PositiveShare], Ascending()]
PositiveRange = Annotated[tuple[PositiveFloat, PositiveFloat], Ascending()]
Length = NonNegativeInt | ShareBelowOne | str  # steps, a share of the run, or text with a unit; see ``warmup_steps``
Flip = Share | bool  # the probability of a mirrored view; True is one half
Layers = Annotated[Sequence[AnyInt], NotEmpty()]  # negative ones count from the end
LearningRates = Annotated[Sequence[LearningRate], NotEmpty()]
Source = Annotated[str, NotEmpty()]  # a path or a name; an empty path would be the working directory
ImageSize = PositiveInt | tuple[PositiveInt, PositiveInt]


def check_options(owner: type, values: Mapping[str, Any]) -> None:
    """Checks values against the ranges that a signature declares. Types without a range are not checked.

    Args:
        owner: the class that the options are of.
        values: by name, such as ``locals()`` at the start of its ``__init__``; other names are left out.

    Raises:
        ValueError: if a value is out of its range, with the name of the option, the value and the range.
    """
    check_values(owner.__name__, option_types(owner), values)


def check_values(owner: str, hints: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Checks values against types, where no signature of ours declares them.

    Args:
        owner: whose options they are, for the message.
        hints: the type of each option.
        values: by name; names without a type are left out.

    Raises:
        ValueError: as ``check_options``.
    """
    for option, hint in hints.items():
        if option in values and (fault := _fault(values[option], hint)):
            raise ValueError(f"{owner}: {option}={_shown(values[option])} is out of range: {fault}.")


def option_types(owner: type) -> dict[str, Any]:
    """Types of all options of a class and its bases, with their ranges."""
    hints: dict[str, Any] = {}
    for base in reversed(owner.__mro__):
        init = vars(base).get("__init__")
        if isinstance(init, types.FunctionType):
            with contextlib.suppress(NameError):  # types that a person's file imports for type checkers alone
                hints |= get_type_hints(init, include_extras=True)
    return hints


def _fault(value: Any, hint: Any) -> str | None:
    """What a value of an option should be; None if it is in range."""
    if get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        if inner is int and not _fits(value, int):
            return f"give a whole number {marks[0]}"
        return _fault(value, inner) or next(filter(None, (_mark_fault(value, mark) for mark in marks)), None)
    if get_origin(hint) in (Union, types.UnionType):
        fitting = [_fault(value, member) for member in get_args(hint) if _fits(value, member)]
        if None in fitting:
            return None
        return next(filter(None, fitting or (_fault(value, member) for member in get_args(hint))), None)
    return next(filter(None, (_fault(item, item_hint) for item, item_hint in _items(value, hint))), None)


def _mark_fault(value: Any, mark: Any) -> str | None:
    if isinstance(mark, Interval):
        return None if value in mark else f"give a number {mark}"
    if isinstance(mark, Ascending):
        if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
            return "give two numbers"
        return None if value[0] <= value[1] else "give the smaller number first"
    if isinstance(mark, NotEmpty):
        return None if len(value) else "give a name" if isinstance(value, str) else "give at least one item"
    return None


def _items(value: Any, hint: Any) -> Iterator[tuple[Any, Any]]:
    """Items of a tuple, a sequence or a dict with the type that each of them should have."""
    kind, arguments = get_origin(hint), get_args(hint)
    if isinstance(value, Mapping) and len(arguments) == 2:
        yield from ((item, arguments[1]) for item in value.values())
    elif isinstance(value, Sequence) and not isinstance(value, str) and arguments:
        fixed = kind is tuple and arguments[-1] is not Ellipsis
        yield from zip(value, arguments if fixed else arguments[:1] * len(value), strict=False)


def _fits(value: Any, hint: Any) -> bool:
    """Whether a value is of the kind that one member of a union is about."""
    kind = get_origin(hint)
    if kind is Annotated:
        return _fits(value, get_args(hint)[0])
    if kind is not None:
        many = isinstance(value, (Sequence, Mapping)) and not isinstance(value, str)
        return many if isinstance(kind, type) and issubclass(kind, (Sequence, Mapping)) else True
    if hint in (int, float):  # True is a number for Python
        return isinstance(value, Integral if hint is int else Real) and not isinstance(value, bool)
    return not isinstance(hint, type) or isinstance(value, hint)


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and math.isfinite(value) else str(value)
