"""ResNets in checkpoints of lightning-bolts, solo-learn, lightly and stable-pretraining."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor

# prefixes of the backbone; the first whose conv1 is there
PREFIXES = ("encoder_q.", "online_network.encoder.", "backbone.model.", "backbone.", "encoder.", "model.backbone.", "")
# lightly's backbone is a sequence of the children of a ResNet
CHILDREN = {"0": "conv1", "1": "bn1", "4": "layer1", "5": "layer2", "6": "layer3", "7": "layer4"}
DEPTHS: dict[tuple[tuple[int, ...], bool], str] = {
    ((2, 2, 2, 2), False): "resnet18",
    ((3, 4, 6, 3), False): "resnet34",
    ((3, 4, 6, 3), True): "resnet50",
    ((3, 4, 23, 3), True): "resnet101",
    ((3, 8, 36, 3), True): "resnet152",
}


class Backbone(NamedTuple):
    """A ResNet under the names of timm and torchvision, which are the same.

    Attributes:
        name: in timm.
        stem: ``cifar`` where the first convolution has 3 x 3 pixels, else ``default``.
        channels: of the input.
        state: its tensors, without a classifier.
        prefix: before its names in the file.
    """

    name: str
    stem: str
    channels: int
    state: dict[str, Tensor]
    prefix: str


def find_backbone(state: Mapping[str, Tensor]) -> Backbone | None:
    """The ResNet in a state dict; None if there is none.

    Args:
        state: of a module of another library.

    Raises:
        ValueError: if it is a ResNet of another form.
    """
    for prefix in PREFIXES:
        own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
        if "0.weight" in own and "4.0.conv1.weight" in own:
            own = {_named(name): value for name, value in own.items()}
        if "conv1.weight" in own and "layer1.0.conv1.weight" in own:
            return _describe({n: v for n, v in own.items() if n.startswith(("conv1", "bn1", "layer"))}, prefix)
    return None


def _describe(state: dict[str, Tensor], prefix: str) -> Backbone:
    first = state["conv1.weight"]
    if first.ndim != 4:
        raise ValueError(f"the first convolution of its ResNet has the shape {list(first.shape)}.")
    depths = tuple(_blocks(state, stage) for stage in range(1, 5))
    bottleneck = "layer1.0.conv3.weight" in state
    if (depths, bottleneck) not in DEPTHS:
        raise ValueError(f"its ResNet has {depths} blocks, which is none of {', '.join(DEPTHS.values())}.")
    stem = "cifar" if first.shape[-1] == 3 else "default"
    return Backbone(DEPTHS[depths, bottleneck], stem, int(first.shape[1]), state, prefix)


def _blocks(state: Mapping[str, Any], stage: int) -> int:
    found = {match[1] for name in state if (match := re.match(rf"layer{stage}\.(\d+)\.", name))}
    return len(found)


def _named(name: str) -> str:
    number, point, rest = name.partition(".")
    return f"{CHILDREN.get(number, number)}{point}{rest}"


def two_layer_head(layers: Sequence[Mapping[str, Tensor]], norm: bool) -> dict[str, Tensor]:
    """Tensors of ``mlp_head`` from those of two linear layers, and of a norm between them.

    A bias before a batch norm does nothing but shift its mean, where it goes here, since our heads have none.

    Args:
        layers: of the first layer, of the norm if there is one, and of the last, each by ``weight``, ``bias``, ...
        norm: whether there is one.
    """
    first, last = dict(layers[0]), dict(layers[-1])
    found: dict[str, Tensor] = {}
    if norm:
        between = dict(layers[1])
        shift = first.pop("bias", None)
        if shift is not None:
            between["running_mean"] = between["running_mean"] - shift
        found |= {f"1.{name}": value for name, value in between.items()}
    if "bias" not in last:
        last["bias"] = last["weight"].new_zeros(len(last["weight"]))
    number = 3 if norm else 2
    return {
        **{f"0.{name}": value for name, value in first.items()},
        **found,
        **{f"{number}.{name}": value for name, value in last.items()},
    }
