"""The index of a folder of shards, ``.metadata`` of torch.distributed.checkpoint.

It is a pickle, of which only names, sizes and places are taken.
"""

import math
import pickle
from importlib import import_module
from io import BytesIO
from pathlib import Path, PurePath
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata

from jepa_lightning.checkpoints.namespaces import ForeignObjectError, check_memo
from jepa_lightning.checkpoints.plain import check_regular

INDEX = ".metadata"
METADATA = "torch.distributed.checkpoint.metadata"
CLASSES = {
    (METADATA, "BytesStorageMetadata"),
    (METADATA, "ChunkStorageMetadata"),
    (METADATA, "Metadata"),
    (METADATA, "MetadataIndex"),
    (METADATA, "StorageMeta"),
    (METADATA, "TensorProperties"),
    (METADATA, "TensorStorageMetadata"),
    (METADATA, "_MEM_FORMAT_ENCODING"),
    ("torch.distributed.checkpoint.filesystem", "_StorageInfo"),
    ("torch", "Size"),
    ("torch.serialization", "_get_layout"),
    ("collections", "OrderedDict"),
}


def read_index(folder: Path) -> Metadata:
    """The index of a folder. Nothing in it is run.

    Raises:
        ValueError: if it cannot be read, or holds anything but an index.
    """
    path = folder / INDEX
    check_regular(path)
    try:
        content = path.read_bytes()
        check_memo(content)
        index: Metadata = _IndexUnpickler(BytesIO(content)).load()
        _check_types(index)
    except PermissionError as error:
        raise ValueError(f"cannot read {path}: you have no permission to read it.") from error
    except ForeignObjectError as error:
        raise ValueError(f"cannot read {path}: it holds {error}, which is no part of an index.") from error
    except Exception as error:  # damage shows in many ways
        raise ValueError(f"cannot read {path}: it is truncated, or not an index.") from error
    return index


def check_claims(index: Metadata, path: Path, held: int) -> None:
    """Whether the tensors of an index take no more memory than their files have.

    Args:
        index: of a folder.
        path: where it is.
        held: bytes in the files of the folder.

    Raises:
        ValueError: if they do.
    """
    tensors = [stored for stored in index.state_dict_metadata.values() if isinstance(stored, TensorStorageMetadata)]
    claimed = sum(math.prod(stored.size) * stored.properties.dtype.itemsize for stored in tensors)
    if claimed > held:
        raise ValueError(f"cannot read {path}: it claims tensors of {claimed} bytes, and the shards hold {held}.")


class _IndexUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in CLASSES:
            return getattr(import_module(module), name)
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        if module.split(".")[0] == "pathlib":  # where it was written
            return PurePath
        raise ForeignObjectError(f"{module}.{name}")


def _check_types(index: Any) -> None:
    """Raises an error of any kind if the index is not well-formed."""
    for name, stored in index.state_dict_metadata.items():
        if not isinstance(name, str) or not isinstance(index.planner_data[name], tuple):
            raise TypeError(name)
        if isinstance(stored, TensorStorageMetadata) and min(stored.size, default=0) < 0:
            raise ValueError(name)
    for stored in index.storage_data.values():
        if not isinstance(stored.relative_path, str) or min(stored.offset, stored.length) < 0:
            raise TypeError(stored)
