"""Groups of the optimizer of the reference, whose parameters go by numbers.

Its groups are the decayed parameters of the encoder, those of the predictor, and then the others of each, in the order
in which the networks have them; frozen position tables are among them. A file has its tensors in that order too, so
that the file alone tells what a number stands for. Source: the code of I-JEPA, V-JEPA and V-JEPA 2.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

NETWORKS = {"encoder": "context_encoder", "predictor": "predictor"}  # entries of the file, and what moves here
TABLES = ("pos_embed", "predictor_pos_embed")  # that the reference counts among the parameters
# of the predictor of clips, whose mask tokens come behind the embedding; parameters of its own come before its layers
PREDICTOR = ("predictor_pos_embed", "video_mod_embed", "img_mod_embed", "predictor_embed", "mask_tokens")
MOST_STEPS = 1e12  # of a run, as for the Trainer
# of a group of AdamW; the reference adds its own
KEPT = ("lr", "betas", "eps", "weight_decay", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused")


class Group(NamedTuple):
    """A group of parameters.

    Attributes:
        network: the module here whose parameters they are.
        decay: whether they are decayed.
        names: of the parameters, under the names of the reference.
    """

    network: str
    decay: bool
    names: list[str]

    @property
    def label(self) -> str:
        """The name that the group has here."""
        return self.network if self.decay else f"{self.network}-no_decay"


def in_order(predictor: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a predictor of clips in the order of the reference; ours has its mask tokens first.

    Args:
        predictor: under the names of the reference.
    """
    places = {part: place for place, part in enumerate(PREDICTOR)}
    names = sorted(predictor, key=lambda name: places.get(name.partition(".")[0], len(PREDICTOR)))
    return {name: predictor[name] for name in names}


def groups_of(networks: Mapping[str, Mapping[str, Tensor]], tables: bool = True) -> Iterator[Group]:
    """The groups, in the order of the reference.

    Args:
        networks: state dicts by entry; a state dict has its parameters in the order of the network.
        tables: count position tables.
    """
    for decay in (True, False):
        for entry, ours in NETWORKS.items():
            named = networks.get(entry, {}).items()
            fitting = [name for name, value in named if decay == ("bias" not in name and value.ndim > 1)]
            yield Group(ours, decay, [name for name in fitting if tables or name not in TABLES])


def read_optimizer(
    saved: Mapping[str, Any], source: Any
) -> tuple[Mapping[Any, Mapping[str, Any]], Sequence[Mapping[str, Any]]]:
    """States by number and groups of a saved optimizer.

    Raises:
        ValueError: if they do not have the form of an Adam's.
    """
    states, groups = saved.get("state"), saved.get("param_groups")
    fault = None
    if not (isinstance(groups, list) and all(isinstance(group, Mapping) for group in groups)):
        fault = "its param_groups are not a list of dicts"
    elif not all(isinstance(group.get("params"), list) for group in groups):
        fault = "a param group has no list of params"
    elif not all(isinstance(number, int) for group in groups for number in group["params"]):
        fault = "its params are not integers"
    elif not (isinstance(states, Mapping) and all(isinstance(state, Mapping) for state in states.values())):
        fault = "its state is not a dict of dicts"
    elif not all(_is_step(state.get("step")) for state in states.values()):
        fault = "the state of a parameter has no step"
    if fault or not isinstance(states, Mapping) or not isinstance(groups, list):
        raise ValueError(f"the optimizer of {source} is damaged: {fault}.")
    return states, groups


def _is_step(value: Any) -> bool:
    """Whether a value is a number of steps, as a number or as a tensor of one."""
    if isinstance(value, Tensor):
        value = value.item() if value.numel() == 1 and value.layout == torch.strided and not value.is_meta else None
    return isinstance(value, (int, float)) and 0 <= value <= MOST_STEPS
