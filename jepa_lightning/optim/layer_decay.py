"""Learning rates that fall from the last layer of an encoder to the first."""

import re
from collections.abc import Callable
from typing import Any

from timm.models import group_parameters
from torch import nn

from jepa_lightning.optim.groups import axes_of

BLOCK = re.compile(r"(?:^|\.)blocks\.(\d+)\.")
FIRST = re.compile(
    r"(?:^|\.)(patch_embed|patch_embed_img|pos_embed|img_mod_embed|video_mod_embed|cls_token|class_token|reg_token)(\.|$)"
)


def layer_decay_groups(
    encoder: nn.Module, head: nn.Module, lr: float, decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Groups for an optimizer, one for each layer, and for biases and norms of it, which have no weight decay.

    The head has the learning rate ``lr``, the last layer of the encoder ``lr * decay``, the one before it
    ``lr * decay ** 2``, and so on to the patch embedding. Layers of timm's networks are those that timm tells; those of
    others are their ``blocks``, and what is behind these, such as a norm, goes with the last one. Source: BEiT (arXiv
    2106.08254), appendix.

    Args:
        encoder: the network whose layers these are.
        head: what is trained on top of it.
        lr: of the head.
        decay: from one layer to the one before, in (0, 1].
        weight_decay: of the others.
    """
    layer_of, last = layers_of(encoder)
    groups: dict[tuple[int, bool], dict[str, Any]] = {}
    named = [(name, parameter, layer_of(name)) for name, parameter in encoder.named_parameters()]
    named += [(name, parameter, last + 1) for name, parameter in head.named_parameters()]
    for name, parameter, layer in named:
        if not parameter.requires_grad:
            continue
        decays = "bias" not in name.rpartition(".")[2] and axes_of(parameter) > 1
        label = "head" if layer == last + 1 else f"layer_{layer}"
        group = groups.setdefault(
            (layer, decays),
            {
                "params": [],
                "name": label if decays else f"{label}-no_decay",
                "lr": lr * decay ** (last + 1 - layer),
                "weight_decay": weight_decay if decays else 0.0,
                "decay": decays,
            },
        )
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def layers_of(encoder: nn.Module) -> tuple[Callable[[str], int], int]:
    """The layer of a parameter by its name, from 0 for the patch embedding, and the last layer there is."""
    prefix, model = next(
        (
            (f"{name}." if name else "", each)
            for name, each in encoder.named_modules()
            if hasattr(each, "group_matcher")
        ),
        ("", None),
    )
    if model is not None:
        by_name = group_parameters(model, model.group_matcher(coarse=False), reverse=True)
        top = max(by_name.values())
        return (lambda name: int(by_name.get(name.removeprefix(prefix), top))), top
    numbers = [int(found[1]) for name, _ in encoder.named_parameters() if (found := BLOCK.search(name))]
    last = max(numbers, default=-1) + 1

    def layer(name: str) -> int:
        if found := BLOCK.search(name):
            return int(found[1]) + 1
        return 0 if FIRST.search(name) else last

    return layer, last
