"""The form of a configuration: where options stand and where classes stand, checked before the parser reads it."""

from collections.abc import Mapping
from typing import Any

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.cli.errors.text import near, shortened
from jepa_lightning.cli.errors.usage import COMMANDS

CLASSES = ("model", "data")  # keys whose value is a class with its options
CLASS_LISTS = ("callbacks", "logger")  # keys of the Trainer whose value may be a list of them
PARTS = ("class_path", "init_args", "dict_kwargs")


def check_form(config: Mapping[Any, Any], file: str) -> None:
    """Refuses what the parser would ignore, or would explain by another option.

    Args:
        config: the content of a configuration file.
        file: its name, for errors.

    Raises:
        UsageError: if a key is not text, if the Trainer's options are not a mapping, or if a class is not given by
            name or by ``class_path`` and ``init_args``.
    """
    for key, value in config.items():
        if not isinstance(key, str):
            raise UsageError(f"{file}: the key {key!r} is not text: give the name of an option.")
        if key in COMMANDS and isinstance(value, Mapping):
            check_form(value, file)
        elif key in CLASSES:
            _check_class(value, f"{file}: {key}")
        elif key == "trainer":
            _check_trainer(value, f"{file}: trainer")


def _check_trainer(options: Any, where: str) -> None:
    if isinstance(options, str):  # the path of a file
        return
    if not isinstance(options, Mapping):
        raise UsageError(f"{where}: expected options, as in {{max_steps: 8}}, got {_shown(options)}")
    for key in CLASS_LISTS:
        value = options.get(key)
        items = value if isinstance(value, list) else [value]
        for item in items:
            if isinstance(value, list) or isinstance(item, Mapping):
                _check_class(item, f"{where}.{key}", complete=True)


def _check_class(value: Any, where: str, complete: bool = False) -> None:
    """Checks one class with its options; one that is complete refers to no class that another file gives."""
    if not isinstance(value, (str, Mapping)):
        if value is None and not complete:  # the parser says that it is required
            return
        raise UsageError(f"{where}: expected the name of a class, or class_path and init_args, got {_shown(value)}")
    if isinstance(value, str):
        return
    if complete and "class_path" not in value:
        raise UsageError(f"{where}: {_shown(value)} names no class: give its class_path.")
    if not any(part in value for part in PARTS):
        return
    for key, part in value.items():
        if str(key).partition(".")[0] not in PARTS:
            raise UsageError(f"{where}: there is no '{key}' beside class_path{near(str(key), PARTS)}")
        if key == "class_path" and not isinstance(part, str):
            raise UsageError(f"{where}.class_path: expected the name of a class, got {_shown(part)}")
        if key in PARTS[1:] and not isinstance(part, Mapping):
            raise UsageError(f"{where}.{key}: expected options, as in {{lr: 0.001}}, got {_shown(part)}")


def _shown(value: Any) -> str:
    return "null" if value is None else shortened(str(value))
