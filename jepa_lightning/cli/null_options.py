"""Options that were set to null and have to have a value; the parser takes null for any option."""

import inspect
from collections.abc import Iterator
from importlib import import_module
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from jsonargparse import Namespace

from jepa_lightning.cli.errors import UsageError


def check_nulls(options: Namespace) -> None:
    """Refuses null where the option's type and default do not have it.

    Args:
        options: of one command, as parsed.

    Raises:
        UsageError: if an option of a class is null and must not be.
    """
    for key in ("model", "data", "trainer"):
        for option, types in _wrong(options.get(key), key):
            raise UsageError(f"{option}: expected {types}, got null")


def _wrong(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Options that are null, with their types, in a value and in what is inside of it."""
    if isinstance(value, list):
        for item in value:
            yield from _wrong(item, key)
    if not isinstance(value, Namespace):
        return
    if isinstance(path := value.get("class_path"), str):
        init_args = value.get("init_args")
        for name, inner in vars(init_args).items() if isinstance(init_args, Namespace) else ():
            if inner is None and (types := _types_without_none(path, name)):
                yield f"{key}.{name}", types
            yield from _wrong(inner, f"{key}.{name}")
    else:
        for name, inner in vars(value).items():
            yield from _wrong(inner, f"{key}.{name}")


def _types_without_none(class_path: str, option: str) -> str:
    """The types of an option as text; "" if None is one of them, or if it has no type."""
    module, _, name = class_path.rpartition(".")
    for base in inspect.getmro(getattr(import_module(module), name)):
        constructor = vars(base).get("__init__")
        parameter = inspect.signature(constructor).parameters.get(option) if inspect.isfunction(constructor) else None
        if parameter is None or parameter.annotation is inspect.Parameter.empty:
            continue
        try:
            hint = get_type_hints(constructor)[option]
        except NameError:  # of a class of one's own that names what is imported for type checkers alone
            return ""
        kinds = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
        if parameter.default is None or NoneType in kinds or Any in kinds:
            return ""
        return " or ".join(getattr(kind, "__name__", str(kind)) for kind in kinds)
    return ""
