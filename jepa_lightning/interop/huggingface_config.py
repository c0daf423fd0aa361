"""``config.json`` of models of ``transformers``: what is needed of it, checked."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MOST = 1e6  # of an eps, a mean or a std
MOST_COUNT = 1 << 14  # of heads, channels, frames, and pixels of a side: positions of more would not fit into memory
NEED = {"hidden_act": "gelu", "qkv_bias": True}  # what the networks here are


def check_config(config: Mapping[str, Any], folder: Path) -> None:
    """Refuses networks that are not built here.

    Raises:
        ValueError: with the entry of the configuration.
    """
    whole_number(config, "num_attention_heads", folder)
    eps = _given(config, "layer_norm_eps", folder)
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 <= eps < MOST:
        raise ValueError(
            f"cannot use {folder}: its layer_norm_eps is {eps!r}, and a small number is what it should be."
        )
    for name, needed in NEED.items():
        if config.get(name, needed) != needed:
            raise ValueError(
                f"cannot use {folder}: its {name} is {config[name]!r}, and {needed!r} is what is built here."
            )


def whole_number(config: Mapping[str, Any], name: str, folder: Path) -> int:
    """A whole number above 0 of a configuration, and at most ``MOST_COUNT``.

    Raises:
        ValueError: if there is none.
    """
    value = _given(config, name, folder)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MOST_COUNT:
        raise ValueError(
            f"cannot use {folder}: its {name} is {value!r}, and a whole number of 1 to {MOST_COUNT} is what it should "
            "be."
        )
    return value


def image_size(config: Mapping[str, Any], patch: int, tokens: int, folder: Path) -> tuple[int, int]:
    """Height and width of the images that a table of positions is for.

    Args:
        config: with ``image_size``.
        patch: side of a patch in pixels.
        tokens: of the table, without class tokens.
        folder: for messages.

    Raises:
        ValueError: if the table is for another size.
    """
    value = _given(config, "image_size", folder)
    sides = value if isinstance(value, (list, tuple)) else [value, value]
    whole = len(sides) == 2 and all(isinstance(side, int) and not isinstance(side, bool) for side in sides)
    if not whole or patch < 1 or tokens < 1 or math.prod(side // patch for side in sides) != tokens or min(sides) < 1:
        raise ValueError(
            f"cannot use {folder}: its image_size is {value!r}, and its table of positions has {tokens} patches of "
            f"{patch} pixels."
        )
    return sides[0], sides[1]


def _given(config: Mapping[str, Any], name: str, folder: Path) -> Any:
    if name not in config:
        raise ValueError(f"cannot use {folder}: its config.json has no {name}.")
    return config[name]
