"""Vision Transformers of ``transformers`` with class tokens, as encoders that are timm's."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.interop.architecture import PATCHES
from jepa_lightning.interop.fitting import check_all
from jepa_lightning.interop.huggingface import DINOV2, VIT, vit_weights
from jepa_lightning.interop.huggingface_config import check_config, image_size, whole_number
from jepa_lightning.interop.huggingface_processor import statistics_of
from jepa_lightning.interop.reading import check_finite, read_config, read_weights, tensors_of
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.nn import TimmViT

TIMM_KINDS = ("vit", "dinov2", "dinov2_with_registers")
NEEDED = {PATCHES: 4, "blocks.0.mlp.fc1.weight": 2, "cls_token": 3, "pos_embed": 3}  # with their axes


def timm_of(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A Vision Transformer of ``transformers`` as one of timm.

    Sizes are those of the tensors, so that no more memory is taken than the file has.

    Args:
        folder: of a ``ViTModel``, a ``Dinov2Model`` with or without registers, or one with a head.

    Returns:
        Arguments of ``TimmViT``, and the state dict of its ``model``.

    Raises:
        ValueError: if it holds another kind of model, or its configuration does not fit its weights.
    """
    content, config, _ = read_weights(folder)
    check_config(config, folder)
    if config.get("use_swiglu_ffn"):
        raise ValueError(f"{folder} has SwiGLU: take the same model from timm, as timm:vit_giant_patch14_dinov2.")
    plain = config.get("model_type") == "vit"
    state = tensors_of(content, folder)
    try:
        weights = vit_weights(state, VIT if plain else DINOV2, tuple(f"{kind}." for kind in TIMM_KINDS))
    except ValueError as error:
        raise ValueError(f"cannot use {folder}: {error}") from error
    for name, axes in {**NEEDED, **({"reg_token": 3} if "reg_token" in weights else {})}.items():
        if name not in weights or weights[name].ndim != axes:
            raise ValueError(f"cannot use {folder}: its weights have no {name} of {axes} axes.")
    width, channels, _, patch = weights[PATCHES].shape
    size = image_size(config, patch, weights["pos_embed"].shape[1] - 1, folder)
    options: dict[str, Any] = {
        "embed_dim": width,
        "depth": len({name.split(".")[1] for name in weights if name.startswith("blocks.")}),
        "num_heads": whole_number(config, "num_attention_heads", folder),
        "mlp_ratio": weights["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "patch_size": patch,
    }
    if width % options["num_heads"]:
        raise ValueError(f"cannot use {folder}: its width {width} is no multiple of {options['num_heads']} heads.")
    if not plain:
        options["init_values"] = 1.0
    if (registers := weights.get("reg_token")) is not None:
        options |= {"reg_tokens": int(registers.shape[1]), "no_embed_class": True}
        # here the class token's position is a part of it
        weights["cls_token"] = weights["cls_token"] + weights["pos_embed"][:, :1]
        weights["pos_embed"] = weights["pos_embed"][:, 1:]
    arguments = {"name": "vit_base_patch16_224", "image_size": size, "in_channels": channels, "options": options}
    return arguments | {"norm_eps": float(config["layer_norm_eps"])}, weights


def timm_network(
    folder: Path, arguments: Mapping[str, Any], state: Mapping[str, Tensor], report: LoadReport
) -> TimmViT:
    """The encoder, with its weights.

    Args:
        folder: for messages.
        arguments: of ``TimmViT``.
        state: of its ``model``.
        report: gets what was loaded.

    Raises:
        ValueError: if a tensor is missing or has no counterpart.
    """
    network = TimmViT(**arguments)
    check_all(network.model, state, report, folder)
    check_finite(state, folder)
    network.model.load_state_dict(state)
    report.loaded += [f"model.{name}" for name in state]
    return network


def module_on_timm(
    cls: Any,
    folder: Path,
    arguments: Mapping[str, Any],
    state: Mapping[str, Tensor],
    given: Mapping[str, Any],
) -> tuple[Any, LoadReport]:
    """A module with such an encoder, from which its target starts too.

    Args:
        cls: ``IJEPA``, or another class that takes an encoder.
        folder: for messages.
        arguments: of ``TimmViT``.
        state: of its ``model``.
        given: options of the module.
    """
    report = LoadReport(str(folder))
    network = timm_network(folder, arguments, state, report)
    options: dict[str, Any] = {
        "image_size": tuple(arguments["image_size"]),
        "in_channels": arguments["in_channels"],
        **statistics_of(folder, read_config(folder), report),
    }
    module = cls(encoder=network, **{**options, **given})
    report.notes.append("the predictor starts anew, and the target encoder as the other")
    return module, report
