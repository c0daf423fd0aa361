"""A module in one safetensors file: its weights, and in the metadata its class and its options."""

import json
from pathlib import Path
from typing import Any

from jepa_lightning.interop.folders import file_appearing
from jepa_lightning.interop.own_folder import is_own, own_config
from jepa_lightning.interop.reading import check_finite
from jepa_lightning.interop.safetensors_file import write_safetensors

KEY = "jepa_lightning"  # of the metadata


def write_one_file(module: Any, path: Path) -> None:
    """Writes the file, which ``from_pretrained`` reads.

    Args:
        module: a ``JEPAModule``.
        path: the file.

    Raises:
        ValueError: if an option is no plain data, or weights are not finite.
    """
    config = json.dumps(own_config(module), sort_keys=True)
    state = module.state_dict()
    check_finite(state, f"the weights of {type(module).__name__}")
    with file_appearing(path) as place:
        write_safetensors(state, place, {KEY: config})


def config_of(metadata: dict[str, str]) -> dict[str, Any] | None:
    """The configuration of a module in the metadata of a file; None if there is none."""
    try:
        config = json.loads(metadata[KEY])
    except (KeyError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and is_own(config) else None
