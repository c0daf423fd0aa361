"""Where a run was: optimizer, schedule and progress, between checkpoints of the reference and those of this package.

The reference's optimizer goes by numbers: its groups are the decayed parameters of the encoder, those of the predictor,
and then the others of each, in the order of their names in the file, frozen position tables among them.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from jepa_lightning.checkpoints import OPTIMIZERS
from jepa_lightning.interop.reference_file import Reference

NETWORKS = {"encoder": "context_encoder", "predictor": "predictor"}  # entries of the file, and what moves here
TABLES = ("pos_embed", "predictor_pos_embed")  # that the reference counts among the parameters
# of a group of AdamW; the reference adds its own
KEPT = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused")


def resumable(reference: Reference, module: Any) -> dict[str, Any]:
    """What a checkpoint needs beside weights to be resumed from; empty where a file has no optimizer.

    Args:
        reference: the file.
        module: with its weights, and the options of its optimizer.

    Raises:
        ValueError: if the optimizer's state is not of the file's networks.
    """
    optimizer, epochs = reference.loop.get("opt"), reference.loop.get("epoch")
    if not (isinstance(optimizer, Mapping) and optimizer.get("state") and isinstance(epochs, int) and epochs > 0):
        return {}
    states, groups = optimizer["state"], optimizer.get("param_groups", [])
    named = list(_groups(reference.networks))
    sizes = [len(names) for _, _, names in named]
    held = [len(group["params"]) for group in groups]
    if held != sizes:
        raise ValueError(
            f"the optimizer of {reference.source} has groups of {held} parameters, and its networks have {sizes}."
        )
    moved: dict[str, Any] = {}
    ours = []
    for (network, decay, names), group in zip(named, groups, strict=True):
        kept = [name for name in names if name not in TABLES]
        moved |= {
            f"{NETWORKS[network]}.{name}": _on_cpu(states[number])
            for name, number in zip(names, group["params"], strict=True)
            if name not in TABLES and number in states
        }
        label = NETWORKS[network] if decay else f"{NETWORKS[network]}-no_decay"
        ours.append(_group(group, label, decay, [f"{NETWORKS[network]}.{name}" for name in kept], module))
    steps = max(int(state["step"]) for state in moved.values())
    return {
        "epoch": epochs - 1,
        "global_step": steps,
        "loops": {"fit_loop": _progress(epochs, steps)},
        "callbacks": {},
        "optimizer_states": [{"state": moved, "param_groups": ours}],
        "lr_schedulers": [{"last_epoch": steps}],
        OPTIMIZERS: ["AdamW"],
    }


def reference_loop(checkpoint: Mapping[str, Any], networks: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Any]:
    """The same for a checkpoint in the form of the reference.

    Args:
        checkpoint: of a run with AdamW, at the end of an epoch.
        networks: state dicts of the encoder and the predictor under the names of the reference.

    Returns:
        ``opt``, ``epoch`` and ``lr``; empty if the checkpoint has weights alone, or another optimizer.
    """
    saved = checkpoint.get("optimizer_states") or []
    if checkpoint.get(OPTIMIZERS) != ["AdamW"] or not saved:
        return {}
    states, own = saved[0]["state"], {group["name"]: group for group in saved[0]["param_groups"]}
    numbered, groups, number = {}, [], 0
    for network, decay, names in _groups(networks):
        group = own[NETWORKS[network] if decay else f"{NETWORKS[network]}-no_decay"]
        places = range(number, number + len(names))
        number += len(names)
        for place, name in zip(places, names, strict=True):
            if (state := states.get(f"{NETWORKS[network]}.{name}")) is not None:
                numbered[place] = _on_cpu(state)
        groups.append({name: group[name] for name in KEPT if name in group} | {"params": list(places)})
    return {
        "opt": {"state": numbered, "param_groups": groups},
        "epoch": int(checkpoint.get("epoch", 0)) + 1,
        "lr": float(groups[0]["lr"]),
    }


def _groups(networks: Mapping[str, Mapping[str, Tensor]]) -> Iterator[tuple[str, bool, list[str]]]:
    """Entry, whether it is decayed, and the names of the parameters of each group, in the order of the reference."""
    for decay in (True, False):
        for network in NETWORKS:
            names = [
                name
                for name, value in networks.get(network, {}).items()
                if decay == ("bias" not in name and value.ndim > 1)
            ]
            yield network, decay, names


def _group(group: Mapping[str, Any], label: str, decay: bool, names: Sequence[str], module: Any) -> dict[str, Any]:
    kept = {name: group[name] for name in KEPT if name in group}
    own = {"name": label, "decay": decay, "constant": False, "params": list(names)}
    weight_decay = float(module.weight_decay) if decay else 0.0
    return {**kept, **own, "initial_lr": float(module.lr), "initial_weight_decay": weight_decay}


def _on_cpu(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value.detach().cpu() if isinstance(value, Tensor) else value for name, value in state.items()}


def _progress(epochs: int, steps: int) -> dict[str, Any]:
    """The state of Lightning's fit loop after some epochs of as many batches as steps."""
    total, current = steps, steps // epochs
    batches = {
        "total": dict.fromkeys(("ready", "completed", "started", "processed"), total),
        "current": dict.fromkeys(("ready", "completed", "started", "processed"), current),
        "is_last_batch": True,
    }
    optimizer = {
        "step": {
            key: {"ready": number, "completed": number} for key, number in (("total", total), ("current", current))
        },
        "zero_grad": {
            key: {"ready": number, "completed": number, "started": number}
            for key, number in (("total", total), ("current", current))
        },
    }
    through = {"ready": epochs, "completed": epochs - 1, "started": epochs, "processed": epochs}
    scheduler = {
        key: {"ready": number, "completed": number} for key, number in (("total", total), ("current", current))
    }
    return {
        "state_dict": {},
        "epoch_loop.state_dict": {"_batches_that_stepped": steps},
        "epoch_loop.batch_progress": batches,
        "epoch_loop.scheduler_progress": scheduler,
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {"optimizer": optimizer},
        "epoch_progress": {"total": through, "current": dict(through)},
    }
