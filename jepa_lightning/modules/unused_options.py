"""Refuses options that a module would do nothing with."""

from collections.abc import Mapping
from inspect import Parameter, signature
from typing import Any


def refuse_unused(owner: type, unused: Mapping[str, str], options: Mapping[str, Any]) -> None:
    """Refuses options that have no effect and another value than their default.

    Args:
        owner: the class of the module.
        unused: names of options without effect, each with the reason.
        options: all options by name.

    Raises:
        ValueError: if one of them has been given.
    """
    for option, reason in unused.items():
        if option in options and _plain(options[option]) != _plain(_default(owner, option)):
            raise ValueError(
                f"{owner.__name__}: {option}={options[option]!r} has no effect, since {reason}: leave it out."
            )


def _default(owner: type, option: str) -> Any:
    """Of an option, from the class that declares it last."""
    for base in owner.__mro__:
        parameter = signature(base.__init__).parameters.get(option)  # type: ignore[misc]
        if parameter is not None and parameter.default is not Parameter.empty:
            return parameter.default
    return None


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value  # as YAML gives tuples
