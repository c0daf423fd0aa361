"""What a checkpoint of Lightning's Trainer must hold, whether it is a file or a folder."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

VERSION = "pytorch-lightning_version"
INSTANTIATORS = (None, "lightning.pytorch.cli.instantiate_module", "pytorch_lightning.cli.instantiate_module")

RESERVED = ("class_path", "init_args", "dict_kwargs")  # the parser would import what they name


def check_form(content: Any, path: Path, *keys: str) -> dict[str, Any]:
    """The content of a checkpoint, if it is one of Lightning's.

    Args:
        content: what was read.
        path: where.
        keys: that it must have beside Lightning's version.

    Raises:
        ValueError: if it is of another code base, or holds what no run saves.
    """
    lacking = [key for key in (VERSION, *keys) if not isinstance(content, dict) or key not in content]
    if lacking:
        raise ValueError(
            f"{path} is not a Lightning checkpoint: it holds {_kind(content)}, and lacks {' and '.join(lacking)}. "
            "Weights of another code base: see from_pretrained."
        )
    for name in ("state_dict", "hyper_parameters", "loops", "callbacks"):
        if not isinstance(content.get(name, {}), dict):
            raise ValueError(f"{path} is damaged: its {name} is a {type(content[name]).__name__}, not a dict.")
    if unnamed := [name for name in content.get("state_dict", {}) if not isinstance(name, str)]:
        raise ValueError(f"{path} is damaged: {unnamed[0]!r} in its state_dict is not the name of a tensor.")
    for name in ("optimizer_states", "lr_schedulers"):
        if not isinstance(states := content.get(name, []), list) or not all(isinstance(one, dict) for one in states):
            raise ValueError(f"{path} is damaged: its {name} are not a list of dicts.")
    if not all(isinstance(loop, dict) for loop in content.get("loops", {}).values()):
        raise ValueError(f"{path} is damaged: its loops are not dicts.")
    if not (isinstance(content[VERSION], str) and re.match(r"\d+\.\d+", content[VERSION])):
        raise ValueError(f"{path} is damaged: its {VERSION} is {content[VERSION]!r}.")
    for name in ("epoch", "global_step"):
        if not isinstance(value := content.get(name, 0), int) or value < 0:
            raise ValueError(f"{path} is damaged: its {name} is {value!r}.")
    if negative := [value for value in _counters(content.get("loops", {})) if value < 0]:
        raise ValueError(f"{path} is damaged: a counter of its loops is {negative[0]}.")
    options = content.get("hyper_parameters", {})
    if (made_by := options.get("_instantiator")) not in INSTANTIATORS:
        raise ValueError(f"{path} names {made_by!r} to build its model with, which is not Lightning's: do not use it.")
    if wrong := [name for name in options if not isinstance(name, str) or not name.isidentifier() or name in RESERVED]:
        raise ValueError(f"{path} is damaged: {wrong[0]!r} is not the name of an option.")
    checked: dict[str, Any] = content
    return checked


def _counters(node: Any) -> Iterator[int | float]:
    if isinstance(node, (dict, list, tuple)):
        for value in node.values() if isinstance(node, dict) else node:
            yield from _counters(value)
    elif isinstance(node, (int, float)):
        yield node


def _kind(content: Any) -> str:
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    if not content:
        return "an empty dict"
    return f"a dict of {', '.join([str(key) for key in list(content)[:3]])}" + (", ..." if len(content) > 3 else "")
