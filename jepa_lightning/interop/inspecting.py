"""What a file of weights holds, of any library."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from jepa_lightning.checkpoints import maker, read_shards
from jepa_lightning.interop.entries import LOOP, NETWORKS, PROBES
from jepa_lightning.interop.one_file import config_of
from jepa_lightning.interop.own_checkpoint import is_checkpoint
from jepa_lightning.interop.own_folder import CLASS, OPTIONS, is_own
from jepa_lightning.interop.reading import CONFIG, read_weights
from jepa_lightning.interop.sniff import parts_of

VERSION = "pytorch-lightning_version"


def describe(path: Path) -> dict[str, Any]:
    """What made a file, of which class and step it is, its networks with their size and norm, and its options.

    Nothing in it is run, and no class of it is imported.

    Args:
        path: a file, a folder of weights, or a folder of shards.

    Returns:
        Plain data: ``made by``, ``class``, ``step``, ``epoch``, ``networks`` (of each ``tensors``, ``parameters``,
        ``norm``, ``types`` and, where there are some, ``not finite``), ``options``, and ``also holds``; what is not
        known is left out.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is something else, is damaged, or holds more than plain data.
    """
    config: dict[str, Any]
    metadata: dict[str, str]
    if path.is_dir() and not (path / CONFIG).exists():
        content, config, metadata = read_shards(path, optimizer=False), {}, {}
    else:
        content, config, metadata = read_weights(path)
    config = config_of(metadata) or config
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds one value of type {type(content).__name__}, and no weights.")
    states = dict(_states(content))
    if not states:
        raise ValueError(f"{path} holds {', '.join(map(str, content)) or 'an empty dict'}, and no weights.")
    held = {*states, *states.get("", {}), "state_dict"}
    options = content.get("hyper_parameters", config.get(OPTIONS, config))
    if not isinstance(options, Mapping):
        raise ValueError(f"{path} is damaged: its options are of type {type(options).__name__}, not a dict.")
    found = {
        "made by": _made_by(content, config, states),
        "class": maker(content) if is_checkpoint(content) else config.get(CLASS) or _architecture(config),
        "step": content.get("global_step"),
        "epoch": content.get("epoch"),
        "networks": {name: _measure(state, path) for name, state in _networks(states)},
        "options": {key: value for key, value in options.items() if not str(key).startswith("_")},
        "also holds": sorted(str(name) for name in content if str(name) not in held),
    }
    return {name: value for name, value in found.items() if value not in (None, {}, [])}


def _states(content: Mapping[Any, Any]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """State dicts by the entry that holds them; the whole has no name."""
    plain = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if plain:
        yield "", plain
    for name, value in content.items():
        for number, one in enumerate(value) if name in PROBES and isinstance(value, list) else [(0, value)]:
            if isinstance(one, Mapping) and one and all(isinstance(item, Tensor) for item in one.values()):
                label = f"{name} {number}" if isinstance(value, list) else str(name)
                yield label, {str(key): item for key, item in one.items()}


def _networks(states: Mapping[str, dict[str, Tensor]]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    for entry, state in states.items():
        if entry not in ("", "state_dict"):
            yield entry, state
            continue
        for name, names in parts_of(state).items():
            yield name, {one: state[one] for one in names}


def _measure(state: Mapping[str, Tensor], path: Path) -> dict[str, Any]:
    """One tensor at a time, so that a large file takes little memory."""
    squares, wrong = 0.0, []
    for name, value in state.items():
        if value.is_meta:
            raise ValueError(f"cannot use {path}: {name} is without values.")
        if value.is_floating_point():
            value = value.to_dense() if value.layout != torch.strided else value
            square = float(value.double().square().sum())
            squares += square
            wrong += [name] if not (square < float("inf")) else []
    found: dict[str, Any] = {
        "tensors": len(state),
        "parameters": sum(value.numel() for value in state.values()),
        "norm": squares**0.5,
        "types": ", ".join(sorted({str(value.dtype).removeprefix("torch.") for value in state.values()})),
    }
    return {**found, "not finite": wrong} if wrong else found


def _architecture(config: Mapping[str, Any]) -> str | None:
    names = config.get("architectures")
    return str(names[0]) if isinstance(names, list) and names else None


def _made_by(content: Mapping[Any, Any], config: Mapping[str, Any], states: Mapping[str, Any]) -> str:
    """Which library has written it."""
    if is_own(config):
        return f"jepa_lightning {config.get('version', '')}".strip()
    if "model_type" in config:
        return f"transformers {config.get('transformers_version', '')}".strip()
    if is_checkpoint(content):
        own = (maker(content) or "").startswith("jepa_lightning.")
        return f"{'jepa_lightning with ' if own else ''}Lightning {content[VERSION]}"
    if set(content) & {*NETWORKS, *PROBES} and set(content) <= {*NETWORKS, *PROBES, *LOOP}:
        return "the authors of I-JEPA and V-JEPA, or in their form"
    return "torch or safetensors, without a word of by which library"
