"""Classes that a command line names: what a person writes there is imported, what a file names is not."""

from importlib import import_module
from typing import Any

from torch import nn

from jepa_lightning.cli.errors import UsageError
from jepa_lightning.modules import JEPAModule


def named_method(name: str) -> Any:
    """The class of a method.

    Args:
        name: of one of this package, as in ``IJEPA``, or the path of another one, as in ``my.Own``.

    Raises:
        UsageError: if there is no such class, or it is no ``JEPAModule``.
    """
    return _named(name if "." in name else f"jepa_lightning.{name}", name, JEPAModule)


def named_network(path: str) -> Any:
    """The class of a network of the user's, as in ``my.Encoder``.

    Raises:
        UsageError: if there is no such class, or it is no ``nn.Module``.
    """
    return _named(path, path, nn.Module)


def _named(path: str, name: str, base: type) -> Any:
    module, _, last = path.rpartition(".")
    try:
        found = getattr(import_module(module), last)
    except (ImportError, AttributeError, ValueError) as error:  # the last where a part of the path is empty
        raise UsageError(f"there is no class {name} ({error}).") from error
    if not (isinstance(found, type) and issubclass(found, base)):
        raise UsageError(f"{name} is no {'nn.Module' if base is nn.Module else base.__name__}.")
    return found
