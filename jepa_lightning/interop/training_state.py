"""Where a run of the reference was, as a checkpoint that is resumed: optimizer, scaler, schedule and epoch."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from jepa_lightning.checkpoints import OPTIMIZERS
from jepa_lightning.interop.loop_progress import fit_loop_after
from jepa_lightning.interop.optimizer_groups import KEPT, TABLES, Group, groups_of, read_optimizer
from jepa_lightning.interop.reference_file import Reference
from jepa_lightning.interop.reference_module import predictor_for
from jepa_lightning.interop.training_state_writer import SCALER, on_cpu

MASK_TOKENS = "predictor.mask_tokens."


def resumable(reference: Reference, module: Any) -> dict[str, Any]:
    """What a checkpoint needs beside weights to be resumed from.

    The names of the parameters that the reference has numbered are those of the networks in the same file, in their
    order; the number of parameters in each group and the shape of each state are compared with them.

    Args:
        reference: the file.
        module: with its weights, and the options of its optimizer.

    Returns:
        Entries of a checkpoint; empty where the file has no optimizer, or a predictor that is not the module's.

    Raises:
        ValueError: if the optimizer's state is not of the file's networks.
    """
    epochs, saved = reference.loop.get("epoch"), reference.loop.get("opt")
    if not (isinstance(saved, Mapping) and saved.get("state") and isinstance(epochs, int) and epochs > 0):
        return {}
    if predictor_for(reference) is None:
        return {}
    states, groups = read_optimizer(saved, reference.source)
    named = _named(reference, groups)
    moved = _states_by_name(reference, named, groups, states, module)
    if not moved:
        raise ValueError(f"the optimizer of {reference.source} is damaged: it has no state of a parameter.")
    steps = max(int(state["step"]) for state in moved.values())
    theirs = {group.label: saved for group, saved in zip(named, groups, strict=True)}
    scaler = reference.loop.get("scaler")
    return {
        "epoch": epochs - 1,
        "global_step": steps,
        "loops": {"fit_loop": fit_loop_after(epochs, steps)},
        "callbacks": {},
        "optimizer_states": [{"state": moved, "param_groups": _own_groups(module, theirs)}],
        "lr_schedulers": [{"last_epoch": steps}],
        OPTIMIZERS: ["AdamW"],
        **({SCALER: dict(scaler)} if isinstance(scaler, Mapping) and scaler else {}),
    }


def _named(reference: Reference, groups: Sequence[Mapping[str, Any]]) -> list[Group]:
    """The groups of a file by name: with position tables, or without them where the reference no longer has them."""
    held = [len(group["params"]) for group in groups]
    for tables in (True, False):
        named = list(groups_of(reference.networks, tables))
        if held == [len(group.names) for group in named]:
            return named
    raise ValueError(
        f"the optimizer of {reference.source} has groups of {held} parameters, and its networks have "
        f"{[len(group.names) for group in groups_of(reference.networks)]}."
    )


def _states_by_name(
    reference: Reference,
    named: Sequence[Group],
    groups: Sequence[Mapping[str, Any]],
    states: Mapping[Any, Mapping[str, Any]],
    module: Any,
) -> dict[str, dict[str, Any]]:
    """The states of the module's parameters; a mask token that starts as the first one has its states too."""
    own, moved = dict(module.named_parameters()), {}
    for group, saved in zip(named, groups, strict=True):
        for name, number in zip(group.names, saved["params"], strict=True):
            path = f"{group.network}.{name}"
            state = states.get(number)
            if state is None or name in TABLES:
                continue
            if path in own:
                _check_shapes(reference, path, own[path], state)
                moved[path] = on_cpu(state)
            elif not path.startswith(MASK_TOKENS):
                raise ValueError(f"the optimizer of {reference.source} moves {path}, which the module does not have.")
    first = f"{MASK_TOKENS}0"
    for path in own:
        if path.startswith(MASK_TOKENS) and path not in moved and first in moved and torch.equal(own[path], own[first]):
            moved[path] = deepcopy(moved[first])
    return moved


def _check_shapes(reference: Reference, path: str, parameter: Tensor, state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        if isinstance(value, Tensor) and value.ndim and value.shape != parameter.shape:
            raise ValueError(
                f"the optimizer of {reference.source} does not fit: its {name} for {path} has the shape "
                f"{list(value.shape)} in place of {list(parameter.shape)}."
            )


def _own_groups(module: Any, theirs: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Groups as the module's optimizer has them, with what the file says of each."""
    names = {parameter: name for name, parameter in module.named_parameters()}
    groups = []
    for group in module.optimizer_groups():
        kept = {name: theirs[group["name"]][name] for name in KEPT if name in theirs[group["name"]]}
        own = {name: group[name] for name in ("name", "decay", "constant")}
        params = [names[parameter] for parameter in group["params"]]
        initial = {"initial_lr": float(module.lr), "initial_weight_decay": float(group["weight_decay"])}
        groups.append({**kept, **own, "params": params, **initial})
    return groups
