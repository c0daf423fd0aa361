"""Which class of module a checkpoint is of."""

import sys
from collections.abc import Mapping
from typing import Any

MADE_BY = "made_by"  # the key in a checkpoint


def class_path(cls: type) -> str:
    """Module and name of a class, as a checkpoint holds them."""
    return f"{cls.__module__}.{cls.__qualname__}"


def maker(checkpoint: Mapping[str, Any]) -> str | None:
    """The path of the class that wrote a checkpoint; None where it does not say, as former ones from Python.

    Args:
        checkpoint: its content.
    """
    options = checkpoint.get("hyper_parameters")
    found = checkpoint.get(MADE_BY) or (options.get("_class_path") if isinstance(options, Mapping) else None)
    return found if isinstance(found, str) else None


def refuse_other_method(owner: type, checkpoint: Mapping[str, Any], source: Any) -> None:
    """Refuses a checkpoint of a class that has another method. A class that is not imported is not judged.

    Args:
        owner: the class that is to be loaded; ``traits`` are declared by the class of a method.
        checkpoint: its content.
        source: where it is from, for the message.

    Raises:
        ValueError: if neither class is derived from the other, and their methods differ.
    """
    path = maker(checkpoint)
    module, _, name = (path or "").rpartition(".")
    made_by = vars(sys.modules[module]).get(name) if module in sys.modules else None
    if not isinstance(made_by, type) or issubclass(made_by, owner) or issubclass(owner, made_by):
        return
    if _method(made_by) is not _method(owner):
        raise ValueError(
            f"{source} is a checkpoint of {path}, not of {class_path(owner)}: load it as {name} (--model {name}), or "
            "take another checkpoint."
        )


def _method(cls: type) -> type | None:
    """The class that declares the method; subclasses of one method may read each other's checkpoints."""
    return next((base for base in cls.__mro__ if vars(base).get("traits") is not None), None)
