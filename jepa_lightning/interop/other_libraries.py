"""Checkpoints of lightning-bolts, solo-learn, lightly and stable-pretraining, for the two-view methods here."""

import re
from collections.abc import Mapping
from inspect import signature
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from jepa_lightning.checkpoints import maker
from jepa_lightning.interop.backbones import Backbone, find_backbone, two_layer_head
from jepa_lightning.interop.reading import check_finite, tensors_of
from jepa_lightning.interop.report import LoadReport

BOLTS = {  # of the heads here, where they are there
    "projector": ("projection.model", "online_network.projector.model", "head_q", "encoder_q.fc"),
    "predictor": ("predictor.model",),
    "target_projector": ("target_network.projector.model",),
}
TARGETS = ("target_network.encoder.", "encoder_k.", "momentum_backbone.", "momentum_encoder.", "backbone_momentum.")
QUEUES = (("queue.representations", "queue.pointer"), ("queue", "queue_ptr"))
FAULTS = {
    "MoCo": "lightning-bolts never moves the head of its keys, and fills its queue from the wrong branch: the target's "
    "head starts as the other, and the keys of the queue leave it within one pass",
    "SimSiam": "lightning-bolts takes the targets of SimSiam from a copy that is never trained: train for longer",
}


class Read(NamedTuple):
    """What is in a checkpoint of another library."""

    state: dict[str, Tensor]
    backbone: Backbone
    heads: dict[str, dict[str, Tensor]]
    queue: tuple[str, str] | None


def is_foreign(content: Any) -> bool:
    """Whether a checkpoint of Lightning is of another library with a ResNet in it."""
    if not (isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping)):
        return False
    names = map(str, content["state_dict"])
    return not maker(content) and any(name.endswith(("conv1.weight", "backbone.0.weight")) for name in names)


def module_of_foreign(
    cls: Any, path: Path, content: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[Any, LoadReport]:
    """A module with the backbone of a checkpoint, and with its heads and its queue where they are of the same form.

    Args:
        cls: a two-view method, such as ``SimCLR``.
        path: of the checkpoint.
        content: of it.
        given: options of the module, such as ``image_size``, which the file does not say.

    Returns:
        The module, and what became of each tensor.

    Raises:
        ValueError: if there is no backbone that is built here, or the class has no network for one.
    """
    state, backbone, heads, queue = _read(path, content)
    if "stem" not in _options(cls):
        raise ValueError(f"{path} has a {backbone.name}, for which {cls.__name__} has no network: use SimCLR or BYOL.")
    options: dict[str, Any] = {"encoder": backbone.name, "stem": backbone.stem}
    if backbone.stem == "cifar":
        options["image_size"] = 32
    if backbone.channels != 3:
        options["in_channels"] = backbone.channels
    if "projector" in heads and "projector_hidden" in _options(cls):
        weights = [value for name, value in heads["projector"].items() if name.endswith("weight") and value.ndim == 2]
        options |= {"projector_hidden": len(weights[0]), "projector_dim": len(weights[-1])}
    if queue is not None and "queue_size" in _options(cls):
        options["queue_size"] = int(state[queue[0]].shape[1])
    module = cls(**{**options, **given})
    return module, load_foreign_(module, path, content)


def load_foreign_(module: Any, path: Path, content: Mapping[str, Any]) -> LoadReport:
    """Loads what fits of such a checkpoint into a module that has been built.

    Args:
        module: a two-view method with a ResNet of the same size.
        path: of the checkpoint.
        content: of it.

    Raises:
        ValueError: if there is no backbone that is built here, or it is of another size.
    """
    state, backbone, heads, queue = _read(path, content)
    report, own = LoadReport(str(path)), module.state_dict()
    wanted = {f"encoder.model.{name}": value for name, value in backbone.state.items()}
    target = next((find_backbone(_only(state, prefix)) for prefix in TARGETS if _only(state, prefix)), None)
    if any(name.startswith("target_encoder.") for name in own):
        taken = target.state if target else backbone.state
        wanted |= {f"target_encoder.model.{name}": value for name, value in taken.items()}
        report.notes += [] if target else ["target_encoder starts as encoder, since the file has no other"]
    moco = type(module).__name__ == "MoCo"
    for ours, head in heads.items():
        wanted |= {f"{ours}.{name}": value for name, value in head.items()}
    if "projector" in heads and (moco or "target_projector" not in heads):
        wanted |= {f"target_projector.{name}": value for name, value in heads["projector"].items()}
    if queue is not None and "queue.keys" in own:
        wanted |= {"queue.keys": state[queue[0]].T.contiguous(), "queue.place": state[queue[1]].reshape(())}
    fitting = {name: value for name, value in wanted.items() if name in own and own[name].shape == value.shape}
    for part in sorted({name.partition(".")[0] for name in wanted if name in own} | {"projector", "predictor"}):
        names = [name for name in own if name.startswith(f"{part}.")]
        if names and any(name not in fitting for name in names):
            if part in ("encoder", "target_encoder"):
                lacking = next(name for name in names if name not in fitting)
                raise ValueError(f"cannot use {path}: {lacking} is missing, or of another shape.")
            fitting = {name: value for name, value in fitting.items() if not name.startswith(f"{part}.")}
            report.notes.append(f"the {part} starts anew, since that of the file is of another form")
    module.load_state_dict({**own, **fitting})
    report.loaded += list(fitting)
    used = {backbone.prefix, *(TARGETS if target else ())}
    for name in state:
        if not name.startswith(tuple(prefix for prefix in used if prefix)):
            of_head = any(name.startswith(f"{theirs}.") for theirs in chain(*BOLTS.values()))
            if not of_head and name not in (queue or ()):
                report.skipped[name] = "it is no part of the method here"
    bolts = "online_network.encoder.conv1.weight" in state or "encoder_q.conv1.weight" in state
    if bolts and type(module).__name__ in FAULTS:
        report.notes.append(FAULTS[type(module).__name__])
    return report


def _read(path: Path, content: Mapping[str, Any]) -> Read:
    """Tensors, backbone, heads under the names here, and the names of the queue."""
    state = tensors_of(content["state_dict"], path)
    check_finite(state, path)
    try:
        backbone = find_backbone(state)
    except ValueError as error:
        raise ValueError(f"cannot use {path}: {error}") from error
    if backbone is None:
        raise ValueError(f"cannot use {path}: no ResNet is found in it.")
    heads = {ours: found for ours, theirs in BOLTS.items() if (found := _head(state, theirs))}
    return Read(state, backbone, heads, next((pair for pair in QUEUES if pair[0] in state), None))


def _only(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}


def _head(state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """A head of two linear layers; nothing where there is none of this form."""
    for prefix in prefixes:
        layers: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if match := re.match(rf"{re.escape(prefix)}\.([0-9]{{1,6}})\.(\w+)$", name):
                layers.setdefault(int(match[1]), {})[match[2]] = value
        if sorted(layers) in ([0, 1, 3], [0, 2]) and _is_head(layers):
            return two_layer_head([layers[number] for number in sorted(layers)], norm=1 in layers)
    return {}


def _is_head(layers: Mapping[int, Mapping[str, Tensor]]) -> bool:
    """Whether the tensors are those of two linear layers and of a norm between them."""
    shapes = {number: {name: value.ndim for name, value in layer.items()} for number, layer in layers.items()}
    linear = all(shapes[number].get("weight") == 2 for number in (0, max(shapes)))
    hidden = layers[0].get("bias", layers[0].get("weight"))
    norm = layers.get(1)
    if not linear or hidden is None or (norm is not None and "running_mean" not in norm):
        return False
    return norm is None or norm["running_mean"].shape == hidden.shape[:1]


def _options(cls: Any) -> set[str]:
    return {name for base in cls.__mro__ for name in signature(base.__init__).parameters}
