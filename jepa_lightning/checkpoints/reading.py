"""What the command line reads from a checkpoint before a run: of which model it is, and with which options."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch

from jepa_lightning.checkpoints.shards import read_rest
from jepa_lightning.checkpoints.whole import present


def last_checkpoint(runs: Path) -> Path | None:
    """The newest ``last.ckpt`` of the runs in a folder, a file or a folder of shards; None if there is none.

    Args:
        runs: holds ``RUN/checkpoints/last.ckpt``.
    """
    places = [present(folder / "last.ckpt") for folder in runs.glob("*/checkpoints")]
    return max((path for path in places if path.exists()), key=lambda path: path.stat().st_mtime, default=None)


def model_arguments(path: Path, class_path: str) -> list[str]:
    """Arguments that give the model the options a checkpoint was made with.

    Args:
        path: the checkpoint, of a run from the command line or from Python.
        class_path: of the model that it is for.

    Raises:
        ValueError: if it cannot be read, or is of another class.
    """
    options = dict(read_checkpoint(path).get("hyper_parameters", {}))
    options.pop("_instantiator", None)
    made_by = options.pop("_class_path", class_path)
    if made_by != class_path:
        raise ValueError(
            f"{path} is a checkpoint of {made_by}, not of {class_path}: give --model {made_by}, or another checkpoint."
        )
    return [f"--model.{name}={_as_text(value)}" for name, value in options.items()]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A Lightning checkpoint, its tensors left on disk; of a folder of shards what is no tensor.

    Args:
        path: the file or the folder.

    Raises:
        ValueError: if it cannot be read or is something else.
    """
    if path.is_dir():
        return read_rest(path)
    try:
        content = torch.load(path, weights_only=True, map_location="cpu", mmap=is_zipfile(path))
    except Exception as error:  # damage shows in many ways
        raise ValueError(
            f"cannot read {path} ({path.stat().st_size} bytes) as a checkpoint: it is truncated, something else, or "
            "holds more than plain data."
        ) from error
    if not isinstance(content, dict) or "state_dict" not in content:
        raise ValueError(f"{path} is no Lightning checkpoint: it holds {_kind(content)}, not a state_dict.")
    return content


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _kind(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    keys: Iterator[str] = (str(key) for key in list(content)[:3])
    return f"a dict with {', '.join(keys)}" + (", ..." if len(content) > 3 else "")
