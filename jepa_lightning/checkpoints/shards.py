"""Checkpoints that are folders of shards, as FSDP2 and FSDP1 write them, read by one process.

A folder holds the shards of each rank, their index (``.metadata``), and all that is neither model nor optimizer
(``meta.pt``). The index and the optimizer's plain values are pickles: read only folders whose origin you trust.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.state_dict_loader import load

INDEX, REST = ".metadata", "meta.pt"


def check_shards(folder: Path) -> Metadata:
    """The index of a folder, all of whose pieces are there.

    Raises:
        ValueError: if it is something else, or a piece is missing or too short.
    """
    missing = [name for name in (REST, INDEX) if not (folder / name).is_file()]
    if len(missing) == 2:
        raise ValueError(f"{folder} is a folder, but no checkpoint: it has neither {REST} nor {INDEX}.")
    if missing:
        raise ValueError(f"the checkpoint {folder} lacks its piece {missing[0]}: copy it there, or take another.")
    try:
        index = FileSystemReader(folder).read_metadata()
        pieces: dict[str, int] = {}
        for stored in index.storage_data.values():
            pieces[stored.relative_path] = max(pieces.get(stored.relative_path, 0), stored.offset + stored.length)
    except Exception as error:  # damage shows in many ways
        raise ValueError(f"cannot read {folder / INDEX}: it is truncated, or something else.") from error
    for name, size in pieces.items():
        if not (folder / name).is_file():
            raise ValueError(f"the checkpoint {folder} lacks its piece {name}: copy it there, or take another.")
        if (found := (folder / name).stat().st_size) < size:
            raise ValueError(f"the piece {folder / name} is truncated: it has {found} of {size} bytes.")
    return index


def read_rest(folder: Path) -> dict[str, Any]:
    """What is in a folder beside the tensors of the model and the optimizer.

    Raises:
        ValueError: if a piece is missing or cannot be read.
    """
    check_shards(folder)
    try:
        rest: dict[str, Any] = torch.load(folder / REST, map_location="cpu", weights_only=True)
    except Exception as error:
        raise ValueError(f"cannot read {folder / REST}: it is truncated, or holds more than plain data.") from error
    return rest


def read_shards(folder: Path, optimizer: bool = True) -> dict[str, Any]:
    """The whole checkpoint, as a single device would have saved it.

    Args:
        folder: the shards.
        optimizer: read the optimizer's states too, which are twice as large as the weights.

    Raises:
        ValueError: if a piece is missing or cannot be read.
    """
    index = check_shards(folder)
    flat = {
        name: _room(stored)
        for name, stored in index.state_dict_metadata.items()
        if optimizer or not name.startswith("optimizer_")
    }
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")  # it is not needed here
            load(flat, storage_reader=FileSystemReader(folder), no_dist=True)
    except (Exception, CheckpointException) as error:  # the latter is no Exception
        raise ValueError(f"cannot read the shards in {folder}: one of them is damaged.") from error
    nested = _nest({index.planner_data[name]: value for name, value in flat.items()})
    # FSDP2's name, or FSDP1's
    weights = nested.pop("state_dict") if "state_dict" in nested else nested.pop("model")
    optimizers = sorted((key for key in nested if re.fullmatch(r"optimizer_\d+", key)), key=lambda key: int(key[10:]))
    states = {"optimizer_states": [nested[key] for key in optimizers]} if optimizers else {}
    return {**read_rest(folder), "state_dict": weights, **states}


def written_by(folder: Path) -> str:
    """The strategy that wrote a folder: FSDP2 or FSDP1, which do not read each other's.

    Raises:
        ValueError: if it is no checkpoint.
    """
    names = check_shards(folder).state_dict_metadata
    return "FSDP2" if any(name.startswith("state_dict.") for name in names) else "FSDP1"


def _room(stored: Any) -> Any:
    """A tensor to read into; for anything else its place alone."""
    if isinstance(stored, TensorStorageMetadata):
        return torch.empty(stored.size, dtype=stored.properties.dtype)
    return None


def _nest(values: dict[tuple[str | int, ...], Any]) -> Any:
    """Dicts and lists, out of values and the path to each."""
    root: dict[str | int, Any] = {}
    for (*way, last), value in values.items():
        node = root
        for key in way:
            node = node.setdefault(key, {})
        node[last] = value
    return _with_lists(root)


def _with_lists(node: Any) -> Any:
    """Keys of dicts are text: what has numbers was a list."""
    if not isinstance(node, dict):
        return node
    if node and all(isinstance(key, int) for key in node):
        return [_with_lists(node[key]) for key in sorted(node)]
    return {key: _with_lists(value) for key, value in node.items()}
