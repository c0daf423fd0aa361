"""Files of weights of any library: torch's, safetensors, and folders of Hugging Face.

Nothing in a file is run, and what is no file of weights is named in one line.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from jepa_lightning.checkpoints import check_regular, read_plain

CONFIG, WEIGHTS, INDEX, PICKLED = (
    "config.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
)
# the configuration of a folder while its files are replaced
UNFINISHED = {"library_name": "jepa_lightning", "unfinished": True}
LONGEST_CONFIG = 1 << 22  # bytes
# what the first bytes of files that are no weights say
NO_WEIGHTS = {
    b"<": "it is a web page: the download has failed, or asks for a login",
    b"version https://git-lfs": "it is a pointer of Git LFS: fetch the file itself with git lfs pull",
    b"\x1f\x8b": "it is compressed: unpack it first",
    b"\x80\x02": "it is of torch before 1.6: open it there and save it again",
}


class Weights(NamedTuple):
    """What is in a file or a folder of weights.

    Attributes:
        content: the tensors by name, or what else was saved, with tensors left on disk.
        config: ``config.json`` of a folder; empty for a file.
        metadata: of a safetensors file; empty for others.
    """

    content: Any
    config: dict[str, Any]
    metadata: dict[str, str]


def read_weights(path: Path) -> Weights:
    """Reads a file of ``torch.save``, a safetensors file, or a folder with ``config.json`` and one of these.

    Args:
        path: the file or the folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is something else, is damaged, holds more than plain data, or changes meanwhile.
    """
    if path.is_dir():
        return _read_folder(path)
    if _start(path)[8:9] == b"{":
        content, metadata = _read_safetensors(path)
        return Weights(content, {}, metadata)
    return Weights(read_plain(path, namespaces=True), {}, {})


def read_config(folder: Path) -> dict[str, Any]:
    """``config.json`` of a folder of weights.

    Raises:
        ValueError: if there is none, it is not a JSON object, or a process replaces the folder's files, or was killed
            while it did.
    """
    path = folder / CONFIG
    if not path.is_file():
        raise ValueError(f"{folder} is a folder, but not one of weights: it has no {CONFIG}.")
    config = read_json(path)
    if config == UNFINISHED:
        raise ValueError(
            f"{folder} is not whole: a process is replacing its files, or was killed meanwhile. If none is, save to it "
            "again."
        )
    return config


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a file.

    Raises:
        ValueError: if it is none, or is too long for a configuration.
    """
    if path.stat().st_size > LONGEST_CONFIG:
        raise ValueError(f"cannot read {path}: it has {path.stat().st_size} bytes, which is no configuration.")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"cannot read {path}: it is not JSON.") from error
    if not isinstance(config, dict):
        raise ValueError(f"cannot read {path}: it is not a JSON object.")
    return config


def tensors_of(content: Any, path: Any, what: str = "it") -> dict[str, Tensor]:
    """A state dict, if it is one.

    Args:
        content: that was read.
        path: where, for the message.
        what: it is, for the message.

    Raises:
        ValueError: if it is something else, or a tensor is sparse, quantized, complex or without values.
    """
    if not isinstance(content, Mapping) or not content:
        raise ValueError(f"cannot use {path}: {what} holds no weights.")
    wrong = [str(name) for name, value in content.items() if not (isinstance(name, str) and isinstance(value, Tensor))]
    if wrong:
        raise ValueError(f"cannot use {path}: {what} is no state dict, {wrong[0]} is not a tensor.")
    if strange := [name for name, value in content.items() if not _is_plain(value)]:
        raise ValueError(f"cannot use {path}: {strange[0]} is sparse, quantized or without values.")
    if strange := [name for name, value in content.items() if value.is_complex()]:
        raise ValueError(f"cannot use {path}: {strange[0]} is complex, and weights are real numbers.")
    return {name: value.detach() for name, value in content.items()}


def _is_plain(value: Tensor) -> bool:
    return value.layout == torch.strided and not (value.is_quantized or value.is_meta)


def check_finite(state: Mapping[str, Tensor], path: Any) -> None:
    """Refuses weights of a run that has diverged.

    Raises:
        ValueError: if a value is NaN or infinite.
    """
    for name, value in state.items():
        if not value.is_floating_point():
            continue
        # torch tells nothing of numbers of 8 bits
        finite = (value.float() if value.element_size() == 1 else value).isfinite()
        if not finite.all():
            number = int(finite.logical_not().sum())
            raise ValueError(f"cannot use {path}: {number} values of {name} are not finite, the run had diverged.")


def _read_folder(folder: Path) -> Weights:
    found = _weights_of(folder, read_config(folder))
    if read_config(folder) != found.config:
        raise ValueError(f"{folder} was replaced while it was read: read it again.")
    return found


def _weights_of(folder: Path, config: dict[str, Any]) -> Weights:
    if (folder / WEIGHTS).is_file():
        content, metadata = _read_safetensors(folder / WEIGHTS)
        return Weights(content, config, metadata)
    if (folder / INDEX).is_file():
        joined: dict[str, Tensor] = {}
        for piece in _pieces(folder):
            joined |= _read_safetensors(piece)[0]
        return Weights(joined, config, {})
    if (folder / PICKLED).is_file():
        _start(folder / PICKLED)
        return Weights(read_plain(folder / PICKLED, namespaces=True), config, {})
    raise ValueError(f"{folder} has no weights: no {WEIGHTS}, {INDEX} or {PICKLED}.")


def _pieces(folder: Path) -> Iterator[Path]:
    path = folder / INDEX
    try:
        names = sorted({str(name) for name in json.loads(path.read_bytes())["weight_map"].values()})
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"cannot read {path}: it is not an index of weights.") from error
    for name in names:
        if Path(name).name != name:  # a link is fine: the cache of the hub has nothing else
            raise ValueError(f"{path} names a piece outside of its folder, {name!r}: do not use it.")
        if not (folder / name).is_file():
            raise ValueError(f"{folder} lacks its piece {name}: copy it there.")
        yield folder / name


def _start(path: Path) -> bytes:
    """The first bytes of a file, if they are not those of something that is known to be no weights."""
    check_regular(path)
    try:
        with path.open("rb") as file:
            start = file.read(64)
    except PermissionError as error:
        raise ValueError(f"cannot read {path}: you have no permission to read it.") from error
    for begins, said in NO_WEIGHTS.items():
        if start[8:9] != b"{" and start.lstrip().startswith(begins):
            raise ValueError(f"cannot read {path} as weights: {said}.")
    return start


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, and the metadata; names, sizes and places are checked before memory is taken."""
    _start(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError, ValueError) as error:
        said = " ".join(str(error).split())
        raise ValueError(f"cannot read {path}: it is truncated or no safetensors file ({said}).") from error
