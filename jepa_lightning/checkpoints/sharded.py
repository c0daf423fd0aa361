"""Checkpoints that are folders of shards, as FSDP2 and FSDP1 write them, read by one process.

A folder holds the shards of each rank, their index (``.metadata``), and all that is neither model nor optimizer
(``meta.pt``). The index and the optimizer's plain values are pickles: only plain data is read from them. Strategies
read a folder with torch's own reader, which takes any pickle, so ``check_shards`` comes first.
"""

import re
import warnings
from copy import deepcopy
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.filesystem import FileSystemReader
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, Metadata, TensorStorageMetadata
from torch.distributed.checkpoint.planner import ReadItem
from torch.distributed.checkpoint.state_dict_loader import load

from jepa_lightning.checkpoints.checksums import check_checksums
from jepa_lightning.checkpoints.form import check_form
from jepa_lightning.checkpoints.plain import DamagedError, check_archive, check_regular, read_plain, stamp
from jepa_lightning.checkpoints.shard_index import INDEX, check_claims, read_index

REST = "meta.pt"


def check_shards(folder: Path) -> Metadata:
    """The index of a folder, all of whose pieces are there, undamaged, and hold plain data alone.

    Args:
        folder: of the checkpoint.

    Raises:
        ValueError: if it is something else, or a piece is missing, damaged or outside the folder.
    """
    missing = [name for name in (REST, INDEX) if not (folder / name).exists()]
    if len(missing) == 2 and (weights := sorted(path.name for path in folder.glob("*.safetensors"))):
        raise ValueError(f"{folder} has {weights[0]} and no config.json, which says what it is: copy it there too.")
    if len(missing) == 2:
        raise ValueError(f"{folder} is a folder, but no checkpoint: it has neither {REST} nor {INDEX}.")
    if missing:
        raise ValueError(f"the checkpoint {folder} lacks its piece {missing[0]}: copy it there, or take another.")
    files = sorted(path for path in folder.iterdir() if path.is_file())
    return _checked(folder, tuple((path.name, *stamp(path)) for path in files))


@lru_cache(maxsize=4)  # the command line asks several times
def _checked(folder: Path, stamps: tuple[Any, ...]) -> Metadata:
    for name in (REST, INDEX):
        _piece(folder, name)
    index = read_index(folder)
    pieces: dict[str, dict[tuple[int, int], bool]] = {}  # of each, the ranges in use, and which are no tensors
    for place, stored in index.storage_data.items():
        plain = isinstance(index.state_dict_metadata.get(place.fqn), BytesStorageMetadata)
        pieces.setdefault(stored.relative_path, {})[stored.offset, stored.length] = plain
    for name, ranges in pieces.items():
        _check_piece(_piece(folder, name), ranges)
    check_claims(index, folder / INDEX, sum((folder / name).stat().st_size for name in pieces))
    try:
        check_checksums(folder)
    except DamagedError as error:
        raise ValueError(f"cannot read the checkpoint {folder}: {error}.") from error
    return index


def _piece(folder: Path, name: str) -> Path:
    """The file of that name, which is in the folder itself."""
    path = folder / name
    if name in ("", ".", "..") or set(name) & set("/\\\0") or path.resolve().parent != folder.resolve():
        raise ValueError(f"the checkpoint {folder} names a piece outside of its folder, {name!r}: do not use it.")
    if not path.exists():
        raise ValueError(f"the checkpoint {folder} lacks its piece {name}: copy it there, or take another.")
    check_regular(path)
    return path


def _check_piece(path: Path, ranges: dict[tuple[int, int], bool]) -> None:
    """Whether all that the index has in a file is whole, and no more than it looks."""
    size, used = path.stat().st_size, max(offset + length for offset, length in ranges)
    if size < used:
        raise ValueError(f"the piece {path} is truncated: it has {size} of {used} bytes.")
    if sum(length for _, length in ranges) > size:
        raise ValueError(f"cannot read {path}: the index uses the same bytes of it several times.")
    try:
        with path.open("rb") as file:
            for (offset, length), plain in sorted(ranges.items()):
                file.seek(offset)
                content = BytesIO(file.read(length))
                check_archive(content, length)
                if plain:
                    content.seek(0)
                    torch.load(content, weights_only=True)
    except PermissionError as error:
        raise ValueError(f"cannot read {path}: you have no permission to read it.") from error
    except Exception as error:  # damage shows in many ways
        reason = error if isinstance(error, DamagedError) else "it is cut or holds more than plain data"
        raise ValueError(
            f"cannot read the shards in {path.parent}: one of them is damaged, {path.name}: {reason}."
        ) from error


def read_rest(folder: Path) -> dict[str, Any]:
    """What is in a folder beside the tensors of the model and the optimizer.

    Raises:
        ValueError: if a piece is missing or cannot be read.
    """
    check_shards(folder)
    rest: dict[str, Any] = deepcopy(check_form(read_plain(folder / REST), folder))  # not left on disk
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
            load(flat, storage_reader=_Reader(folder), planner=_Planner(flatten_state_dict=False), no_dist=True)
        nested = _nest({index.planner_data[name]: value for name, value in flat.items()})
    except (Exception, CheckpointException) as error:  # the latter is no Exception
        raise ValueError(f"cannot read the shards in {folder}: one of them is damaged.") from error
    # FSDP2's name, or FSDP1's
    weights = nested.pop("state_dict", None) or nested.pop("model", None)
    if not isinstance(weights, dict):
        raise ValueError(f"{folder} holds no weights of a module.")
    names = (key for key in nested if re.fullmatch(r"optimizer_[0-9]{1,6}", key))
    optimizers = sorted(names, key=lambda key: int(key[10:]))
    states = {"optimizer_states": [nested[key] for key in optimizers]} if optimizers else {}
    return {**read_rest(folder), "state_dict": weights, **states}


def written_by(folder: Path) -> str:
    """The strategy that wrote a folder: FSDP2 or FSDP1, which do not read each other's.

    Args:
        folder: of the checkpoint.

    Raises:
        ValueError: if it is no checkpoint.
    """
    names = check_shards(folder).state_dict_metadata
    return "FSDP2" if any(name.startswith("state_dict.") for name in names) else "FSDP1"


class _Reader(FileSystemReader):
    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The index as it was checked; torch's own takes any pickle."""
        return check_shards(Path(self.path))


class _Planner(DefaultLoadPlanner):
    def load_bytes(self, read_item: ReadItem, value: BytesIO) -> None:
        """A plain value; torch's own takes any pickle."""
        self.original_state_dict[read_item.dest_index.fqn] = torch.load(value, weights_only=True)


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
