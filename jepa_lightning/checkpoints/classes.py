"""Classes that options name: nothing is imported because a file asks for it."""

import contextlib
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any


def check_classes(options: Mapping[str, Any], source: Any) -> None:
    """Refuses options that name classes of modules that have not been imported: importing one runs its code.

    Args:
        options: those that are taken from a checkpoint.
        source: the checkpoint, for the message.

    Raises:
        ValueError: if there is such a class, with what to do.
    """
    for option, value in options.items():
        for path in _class_paths(value):
            if (module := path.rpartition(".")[0]) not in sys.modules:
                by_name = f" (--encoder {path} of plan and evaluate)" if option == "encoder" else ""
                raise ValueError(
                    f"{source} names the class {path} for its option {option}, and a checkpoint does not get modules "
                    f"imported: import {module or path} first{by_name}, or give {option} yourself."
                )


def import_classes(options: Any) -> None:
    """Imports the modules of all classes that a person's own configuration names; those that fail are left out."""
    for path in _class_paths(options):
        if module := path.rpartition(".")[0]:
            with contextlib.suppress(ImportError):
                import_module(module)


def _class_paths(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "class_path" in value:
            yield str(value["class_path"])
        for item in value.values():
            yield from _class_paths(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _class_paths(item)
