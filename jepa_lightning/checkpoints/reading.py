"""What the command line reads from a checkpoint before a run: of which model it is, and with which options."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from jepa_lightning.checkpoints.classes import check_classes
from jepa_lightning.checkpoints.form import check_form
from jepa_lightning.checkpoints.made_by import refuse_other_method
from jepa_lightning.checkpoints.plain import read_plain
from jepa_lightning.checkpoints.sharded import read_rest
from jepa_lightning.checkpoints.whole import present
from jepa_lightning.renamed_options import saved_options


def last_checkpoint(runs: Path) -> Path | None:
    """The last checkpoint of the newest run in a folder, a file or a folder of shards; None if no run has one.

    Runs are numbered in the order in which they began. The times of files say less: copies and clocks change them.

    Args:
        runs: holds ``version_N/checkpoints/last.ckpt``; folders of other names count as older.
    """
    folders = sorted(runs.glob("*/checkpoints"), key=lambda folder: (run_number(folder.parent), folder), reverse=True)
    return next(filter(None, map(last_in, folders)), None)


def last_in(folder: Path) -> Path | None:
    """``last.ckpt`` in a folder of checkpoints, or the ``last-vN.ckpt`` of highest N; None if there is none.

    Args:
        folder: where one or several runs have saved; it may not exist.
    """
    whole = present(folder / "last.ckpt")
    found = {0: whole} if whole.exists() else {}
    for path in folder.glob("last-v*.ckpt"):
        if number := re.fullmatch("last-v([0-9]+).ckpt", path.name):
            found[int(number[1])] = path
    return found[max(found)] if found else None


def run_number(folder: Path) -> int:
    """N of a folder ``version_N``; -1 for other names."""
    number = re.fullmatch("version_([0-9]+)", folder.name)
    return int(number[1]) if number else -1


def model_arguments(path: Path, class_path: str) -> list[str]:
    """Arguments that give the model the options a checkpoint was made with.

    Args:
        path: the checkpoint, of a run from the command line or from Python.
        class_path: of the model that it is for.

    Raises:
        ValueError: if it cannot be read, is of another class, or names classes that have not been imported.
    """
    content = read_checkpoint(path)
    options = dict(content.get("hyper_parameters", {}))
    options.pop("_instantiator", None)
    made_by = options.pop("_class_path", class_path)
    if made_by != class_path:
        raise ValueError(
            f"{path} is a checkpoint of {made_by}, not of {class_path}: give --model {made_by}, or another checkpoint."
        )
    module, _, name = class_path.rpartition(".")
    if isinstance(owner := getattr(sys.modules.get(module), name, None), type):
        refuse_other_method(owner, content, path)
    options = saved_options(class_path, options)
    check_classes(options, path)
    return [f"--model.{name}={_as_text(value)}" for name, value in options.items()]


def read_checkpoint(path: Path) -> dict[str, Any]:
    """A Lightning checkpoint, its tensors left on disk; of a folder of shards what is not in the shards.

    Args:
        path: the file or the folder.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is something else, is damaged, or holds more than plain data.
    """
    return read_rest(path) if path.is_dir() else check_form(read_plain(path), path, "state_dict")


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
