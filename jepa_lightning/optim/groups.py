"""Parameter groups: by network, and by whether they are decayed."""

from collections.abc import Collection, Mapping
from typing import Any

from torch import nn


def parameter_groups(
    modules: Mapping[str, nn.Module], weight_decay: float, constant: Collection[str] = ()
) -> list[dict[str, Any]]:
    """Splits trainable parameters by module and by whether they are decayed.

    Biases and parameters with at most one axis (norms, scalars) are not decayed. All decayed groups come first, then
    all others, both in the order of the modules: the order of the reference's saved optimizer states.

    Args:
        modules: networks by name, for example the context encoder and the predictor.
        weight_decay: for the decayed groups.
        constant: names of networks whose learning rate stays at its peak.

    Returns:
        Groups for an optimizer, empty ones left out, each with ``name`` (unique; Lightning's learning rate monitor
        shows it), and with ``decay`` and ``constant``, which ``WarmupCosine`` reads.
    """
    groups = []
    for decay in (True, False):
        for name, module in modules.items():
            parameters = [
                parameter
                for key, parameter in module.named_parameters()
                if parameter.requires_grad and decay == ("bias" not in key and axes_of(parameter) > 1)
            ]
            if parameters:
                groups.append(
                    {
                        "params": parameters,
                        "name": name if decay else f"{name}-no_decay",
                        "weight_decay": weight_decay if decay else 0.0,
                        "decay": decay,
                        "constant": name in constant,
                    }
                )
    return groups


def axes_of(parameter: nn.Parameter) -> int:
    """Number of axes of a parameter, before FSDP1 flattens it."""
    # the shards of FSDP1 are flat; `distributed.wrap_` notes how many axes there were
    axes: int = getattr(parameter, "axes", parameter.ndim)
    return axes
