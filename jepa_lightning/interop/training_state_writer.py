"""Where a run is, in the form of the reference: optimizer, scaler and epoch of a checkpoint of this package."""

from collections.abc import Mapping
from typing import Any

from lightning.pytorch.plugins import MixedPrecision
from torch import Tensor

from jepa_lightning.checkpoints import OPTIMIZERS
from jepa_lightning.interop.optimizer_groups import KEPT, groups_of

SCALER = MixedPrecision.__qualname__  # Lightning's entry for the scaler of gradients


def reference_loop(checkpoint: Mapping[str, Any], networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    """What a checkpoint of the reference has beside the networks.

    Args:
        checkpoint: of a run with AdamW, at the end of an epoch.
        networks: state dicts of the encoder and the predictor under the names of the reference, in its order.

    Returns:
        ``opt``, ``scaler``, ``epoch`` and ``lr``; empty if the checkpoint has weights alone, or another optimizer.
    """
    saved = checkpoint.get("optimizer_states") or []
    if checkpoint.get(OPTIMIZERS) != ["AdamW"] or not saved:
        return {}
    states, own = saved[0]["state"], {group.get("name"): group for group in saved[0]["param_groups"]}
    numbered, groups, number = {}, [], 0
    for group in groups_of(networks):
        if group.label not in own:
            raise ValueError(f"the optimizer of the checkpoint has no parameter group {group.label}: it is damaged.")
        options = own[group.label]
        places = range(number, number + len(group.names))
        number += len(group.names)
        for place, name in zip(places, group.names, strict=True):
            if (state := states.get(f"{group.network}.{name}")) is not None:
                numbered[place] = on_cpu(state)
        groups.append({name: options[name] for name in KEPT if name in options} | {"params": list(places)})
    return {
        "opt": {"state": numbered, "param_groups": groups},
        "scaler": checkpoint.get(SCALER),
        "epoch": int(checkpoint.get("epoch", 0)) + 1,
        "lr": float(groups[0]["lr"]),
    }


def on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of one parameter, on the CPU."""
    return {name: value.detach().cpu() if isinstance(value, Tensor) else value for name, value in state.items()}
