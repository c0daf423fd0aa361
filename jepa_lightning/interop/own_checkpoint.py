"""Checkpoints of Lightning's Trainer with a module of this package."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning

from jepa_lightning.checkpoints import MADE_BY, class_path, maker, read_checkpoint
from jepa_lightning.interop.entries import open_reference
from jepa_lightning.interop.folders import file_appearing
from jepa_lightning.interop.other_libraries import is_foreign
from jepa_lightning.interop.own_folder import OPTIONS, class_of, own_config
from jepa_lightning.interop.reading import check_finite, read_weights
from jepa_lightning.interop.torch_file import write_torch
from jepa_lightning.interop.training_state import resumable


def is_checkpoint(content: Any) -> bool:
    """Whether the content of a file is that of such a checkpoint."""
    return isinstance(content, Mapping) and "state_dict" in content and "pytorch-lightning_version" in content


def class_of_checkpoint(cls: Any, path: Path) -> Any:
    """The class that a checkpoint names, where it is imported and derived from the one that is asked for.

    Args:
        cls: that is asked for.
        path: a file, or a folder of shards.

    Raises:
        ValueError: if it is of another method, or says no class and the one that is asked for is abstract.
    """
    made_by = maker(read_checkpoint(path))
    if made_by is None and getattr(cls, "__abstractmethods__", None):
        raise ValueError(f"{path} does not say of which class it is ({MADE_BY}): load it with that class.")
    return cls if made_by is None else class_of(cls, made_by, path)


def write_checkpoint(module: Any, path: Path, source: str | None = None) -> bool:
    """Writes a checkpoint of weights and options, for ``load_from_checkpoint`` and to start runs from.

    Args:
        module: a ``JEPAModule``.
        path: the file.
        source: that the module is of; where it is a file of the reference with its optimizer, the run can be resumed.

    Returns:
        Whether it can be.

    Raises:
        ValueError: if an option is no plain data, or weights are not finite.
    """
    options = dict(own_config(module)[OPTIONS])
    state = module.state_dict()
    check_finite(state, f"the weights of {type(module).__name__}")
    content = {
        "epoch": 0,
        "global_step": 0,
        "pytorch-lightning_version": lightning.__version__,
        "state_dict": {name: value.detach().cpu().contiguous() for name, value in state.items()},
        "hyper_parameters": options,
        MADE_BY: class_path(type(module)),
    }
    loop = _resumable(module, source)
    with file_appearing(path) as place:
        write_torch(content | loop, place)
    return bool(loop)


def _resumable(module: Any, source: str | None) -> dict[str, Any]:
    path = Path(source).expanduser() if source is not None else None
    if path is None or not path.is_file():
        return {}
    weights = read_weights(path)
    if weights.metadata or is_checkpoint(weights.content) or is_foreign(weights.content):
        return {}
    return resumable(open_reference(path), module)
