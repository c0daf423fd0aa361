"""Refuses options that do not fit each other: those that would have no effect, and learning rates of others."""

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
        if option in options and as_plain(options[option]) != as_plain(default_of(owner, option)):
            raise ValueError(
                f"{owner.__name__}: {option}={options[option]!r} has no effect, since {reason}: leave it out."
            )


def refuse_rate_of_another(owner: type, options: Mapping[str, Any]) -> None:
    """Refuses another optimizer than the method's own where the learning rate is left at that of the method's own.

    Args:
        owner: the class of the module.
        options: all options by name.

    Raises:
        ValueError: if LARS or SGD was the method's own, whose learning rates are hundreds of times those of others.
    """
    own, lr = default_of(owner, "optimizer"), default_of(owner, "lr")
    if own not in (None, "adamw") and options["optimizer"] != own and options["lr"] == lr:
        raise ValueError(
            f"{owner.__name__}: lr={lr:g} is the default for optimizer {own}, and optimizer is "
            f"{options['optimizer']}: give lr too, for example lr=0.001 for adamw."
        )


def default_of(owner: type, option: str) -> Any:
    """The default of an option, from the class that declares it last.

    Args:
        owner: the class of the module.
        option: its name.
    """
    for base in owner.__mro__:
        parameter = signature(base.__init__).parameters.get(option)  # type: ignore[misc]
        if parameter is not None and parameter.default is not Parameter.empty:
            return parameter.default
    return None


def as_plain(value: Any) -> Any:
    """A value as Python has it, where YAML gives lists for tuples."""
    return tuple(value) if isinstance(value, list) else value
