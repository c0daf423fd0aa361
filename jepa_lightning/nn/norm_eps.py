"""The eps of layer norms, which a state dict does not hold."""

import math
from collections.abc import Iterable
from typing import Any

from torch import nn

NORM_EPS = 1e-6  # of Vision Transformers here and of the reference


def set_norm_eps(networks: Iterable[nn.Module], eps: float) -> None:
    """Gives all layer norms of some networks an eps."""
    for network in networks:
        for layer in network.modules():
            if isinstance(layer, nn.LayerNorm):
                layer.eps = eps


def norm_eps_of(network: nn.Module) -> set[float]:
    """The eps that layer norms of a network have."""
    return {layer.eps for layer in network.modules() if isinstance(layer, nn.LayerNorm)}


def saved_norm_eps(options: Any) -> float:
    """The eps that the options of a saved module say.

    Args:
        options: by name, or what a file has in their place.

    Raises:
        ValueError: if it is not a finite number of at least 0.
    """
    found = options.get("norm_eps") if isinstance(options, dict) else None
    if found is None:
        return NORM_EPS
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < math.inf:
        raise ValueError(
            f"the options of the weights have norm_eps={found!r}: it must be a finite number of at least 0."
        )
    return float(found)
