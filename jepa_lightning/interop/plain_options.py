"""Options of a module as JSON, and back with the types that its signature declares."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from jepa_lightning.options import option_types


def options_from_json(owner: type, options: Mapping[str, Any]) -> dict[str, Any]:
    """Makes tuples of lists where the signature has tuples: JSON has lists alone.

    Args:
        owner: the class of the module.
        options: as they were read.
    """
    hints = option_types(owner)
    return {name: _as(value, hints.get(name)) for name, value in options.items()}


def _as(value: Any, hint: Any) -> Any:
    kind, arguments = get_origin(hint), get_args(hint)
    if kind is Annotated:
        return _as(value, arguments[0])
    if kind in (Union, UnionType):
        tuples = [member for member in arguments if _is_tuple(member)]
        return _as(value, tuples[0]) if tuples and isinstance(value, list) else value
    if kind is tuple and isinstance(value, list):
        members: Sequence[Any] = arguments
        if members[-1:] == (Ellipsis,):
            members = [members[0]] * len(value)
        # items beyond those of the signature stay, so that what checks the options sees them
        return tuple(_as(item, member) for item, member in zip_longest(value, members[: len(value)]))
    return value


def _is_tuple(hint: Any) -> bool:
    return get_origin(hint) is tuple or (get_origin(hint) is Annotated and _is_tuple(get_args(hint)[0]))
