"""Our modules as checkpoints in the form of the reference."""

from collections.abc import Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.checkpoints import OPTIMIZERS, read_shards
from jepa_lightning.interop.folders import file_appearing
from jepa_lightning.interop.optimizer_groups import in_order
from jepa_lightning.interop.own_checkpoint import is_checkpoint
from jepa_lightning.interop.reading import CONFIG, check_finite, read_weights
from jepa_lightning.interop.torch_file import write_torch
from jepa_lightning.interop.training_state_writer import reference_loop
from jepa_lightning.nn import Predictor, VisionTransformer
from jepa_lightning.nn.norm_eps import NORM_EPS
from jepa_lightning.nn.patch_embed import is_linear

# of the reference, and their names here
NETWORKS = {"encoder": "context_encoder", "predictor": "predictor", "target_encoder": "target_encoder"}


def reference_content(module: Any, checkpoint: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A dict of networks and of what the reference saves beside them.

    Args:
        module: an ``IJEPA`` or a ``VJEPA`` with the encoder of a named size.
        checkpoint: that the module is of, for its optimizer. Its parameters are numbered in the order of the tensors
            in the file, which is the order that ``training_state.resumable`` reads, and that of the networks of the
            reference. The second version has 10 mask tokens, and its optimizer takes such a file with as many.

    Raises:
        ValueError: if the reference has no such networks, or weights are not finite.
    """
    networks = {name: getattr(module, ours, None) for name, ours in NETWORKS.items()}
    for name, network in networks.items():
        kind = Predictor if name == "predictor" else VisionTransformer
        if network is None:
            raise ValueError(
                f"the reference has no model like {type(module).__name__}, which has no {name}: convert to "
                "safetensors, or to timm."
            )
        if type(network) is not kind:
            raise ValueError(
                f"the reference has no {name} like the {type(network).__name__} of {type(module).__name__}: convert to "
                "safetensors, or to timm."
            )
    clips = len(module.context_encoder.patch) == 3
    if module.context_encoder.rope == "exact" and module.context_encoder.rope_grid is None:
        raise ValueError(
            "the reference rotates in the style vjepa2, and this module's is exact: convert to safetensors."
        )
    if module.context_encoder.reg_token is not None:
        raise ValueError("the reference has no register tokens: convert to safetensors, or to timm.")
    if not is_linear(module.context_encoder.patch_embed):
        raise ValueError("the reference has no patch_embedding but the linear one: convert to safetensors.")
    if module.predictor.attention != "full":
        raise ValueError("the reference has no predictor_attention like shared: convert to safetensors.")
    if module.norm_eps != NORM_EPS:
        raise ValueError(
            f"the reference has norms with eps={NORM_EPS:g}, and this module's have {module.norm_eps:g}: convert to hf "
            "or safetensors."
        )
    prefix = "module.backbone." if clips else "module."
    bare = {name: network.state_dict() for name, network in networks.items() if network is not None}
    for name, state in bare.items():
        check_finite(state, f"the {name} of {type(module).__name__}")
    if clips:
        bare["predictor"] = in_order(bare["predictor"])
    found: dict[str, Any] = {name: _state(state, prefix) for name, state in bare.items()}
    loop = {} if checkpoint is None else reference_loop(checkpoint, bare)
    rest = {"opt": None, "scaler": None, "epoch": 0, "loss": 0.0, "batch_size": 0, "world_size": 1, "lr": 0.0}
    return {**found, **rest, **loop}


def write_reference(module: Any, path: Path, source: str | None = None) -> dict[str, str]:
    """Writes such a checkpoint.

    Args:
        module: as of ``reference_content``.
        path: the file.
        source: that the module is of; a checkpoint of this package gives its optimizer too.

    Returns:
        What is left out, such as a projector or the optimizer of the checkpoint, each with the reason.

    Raises:
        ValueError: as of ``reference_content``.
    """
    checkpoint = _checkpoint(source)
    content = reference_content(module, checkpoint)
    with file_appearing(path) as place:
        write_torch(content, place)
    left = dict.fromkeys(_other_networks(module), "the reference has no such network")
    if content["opt"] is None and checkpoint is not None and checkpoint.get("optimizer_states"):
        has = ", ".join(checkpoint.get(OPTIMIZERS, ["an unknown one"]))
        left["optimizer"] = f"the reference has AdamW, and the checkpoint {has}"
    return left


def _other_networks(module: Any) -> list[str]:
    """Dotted names of networks with weights beside those of the reference, such as ``regularizer.projector``."""
    own: dict[str, list[list[str]]] = {}
    for name, _ in module.named_parameters():
        part, *rest = name.split(".")
        if part not in NETWORKS.values():
            own.setdefault(part, []).append(rest[:-1])
    found = []
    for part, names in own.items():
        shared = takewhile(lambda each: len(set(each)) == 1, zip(*names, strict=False))
        found.append(".".join([part, *(first for first, *_ in shared)]))
    return found


def _checkpoint(source: str | None) -> dict[str, Any] | None:
    path = Path(source).expanduser() if source is not None else None
    if path is None or not path.exists():
        return None
    if path.is_dir():
        return None if (path / CONFIG).exists() else read_shards(path)
    weights = read_weights(path)
    return dict(weights.content) if is_checkpoint(weights.content) else None


def _state(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value.detach().cpu() for name, value in state.items()}
