"""Pickles of Lightning 1 and of the time before ``weights_only``, of which plain data alone is built.

Their options are namespaces, their callbacks are named by classes, and numbers may be numpy's. All of these become
dicts, text and numbers here: no class that a file names is imported, and nothing that it names is called.
"""

import pickle
import pickletools
import struct
from collections import OrderedDict
from pathlib import PurePosixPath
from types import SimpleNamespace
from typing import Any

import torch
from torch import _utils

NAMESPACES = {
    ("argparse", "Namespace"),
    ("types", "SimpleNamespace"),
    ("pytorch_lightning.utilities.parsing", "AttributeDict"),
    ("lightning.pytorch.utilities.parsing", "AttributeDict"),
    ("lightning_fabric.utilities.data", "AttributeDict"),
    ("lightning.fabric.utilities.data", "AttributeDict"),
}
REBUILD = ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
NUMBERS = {"b1": "?", "f2": "e", "f4": "f", "f8": "d"} | {
    f"{kind}{size}": letter if kind == "i" else letter.upper()
    for size, letter in (("1", "b"), ("2", "h"), ("4", "i"), ("8", "q"))
    for kind in "iu"
}
NUMPY = ("numpy.core.multiarray", "numpy._core.multiarray")


# what a dict that makes its own entries makes them of
FACTORIES = ("dict", "float", "int", "list", "str")
PUTS = ("PUT", "BINPUT", "LONG_BINPUT")


class ForeignObjectError(Exception):
    """A pickle names something that is no plain data."""


class Namespace(dict[str, Any]):
    """What was a namespace, as a dict."""

    def __setstate__(self, state: Any) -> None:
        """Takes the attributes of the namespace."""
        self.update(state)


class PlainUnpickler(pickle.Unpickler):
    """Builds tensors, numbers, text, dicts and lists."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name in the file.

        Raises:
            ForeignObjectError: if it is none of those above.
        """
        if (module, name) in NAMESPACES:
            return Namespace
        if module == "torch._utils" and name in REBUILD:
            return getattr(_utils, name)
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        found = {
            ("torch", "Size"): torch.Size,
            ("torch", "device"): torch.device,
            ("collections", "OrderedDict"): OrderedDict,
            ("collections", "defaultdict"): _default_dict,
            ("builtins", "set"): set,
            ("__builtin__", "set"): set,
            ("_codecs", "encode"): _encode,
            ("numpy", "dtype"): _NumberType,
            **dict.fromkeys(((numpy, "scalar") for numpy in NUMPY), _number),
        }.get((module, name))
        if found is not None:
            return found
        if module.split(".")[0] in ("pytorch_lightning", "lightning") and name[:1].isupper():
            return _named(f"{module}.{name}")
        if module in ("builtins", "__builtin__") and name in FACTORIES:
            return _named(f"{module}.{name}")
        if module.split(".")[0] == "pathlib" and name.endswith("Path"):
            return _path
        raise ForeignObjectError(f"{module}.{name}")


# what ``torch.load`` takes for the module ``pickle``
PLAIN_PICKLE = SimpleNamespace(Unpickler=PlainUnpickler, __name__=__name__)


def check_memo(content: bytes) -> None:
    """Refuses a pickle of ten bytes that asks for a table of gigabytes.

    Args:
        content: the pickle.

    Raises:
        ValueError: if it asks for more entries than it has bytes.
    """
    for code, argument, _ in pickletools.genops(content):
        if code.name in PUTS and int(argument or 0) > len(content):
            raise ValueError("a memo beyond the file's size")


class _NumberType:
    """A type of numpy, of which the name is kept."""

    def __init__(self, name: str, *_: Any) -> None:
        if name not in NUMBERS:
            raise ForeignObjectError(f"a number of numpy of type {name}")
        self.name, self.order = name, "<"

    def __setstate__(self, state: Any) -> None:
        self.order = ">" if state[1] == ">" else "<"


def _number(kind: _NumberType, raw: Any) -> Any:
    content = raw.encode("latin-1") if isinstance(raw, str) else raw
    (value,) = struct.unpack(kind.order + NUMBERS[kind.name], content)
    return value


def _encode(text: str, encoding: str = "latin-1") -> bytes:
    """Bytes as protocol 2 has them."""
    if encoding not in ("latin1", "latin-1"):
        raise ForeignObjectError(f"text in {encoding}")
    return text.encode("latin-1")


def _default_dict(*_: Any) -> dict[Any, Any]:
    return {}


def _path(*parts: str) -> str:
    return str(PurePosixPath(*parts))


def _named(path: str) -> Any:
    """A class that may be named, as Lightning 1 names callbacks and a dict its factory, and not be built."""

    class Named:
        def __new__(cls, *_: Any) -> Any:
            raise ForeignObjectError(path)

    Named.__name__ = Named.__qualname__ = path
    return Named
