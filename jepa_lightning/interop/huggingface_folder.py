"""Folders of ``transformers`` with an I-JEPA or a V-JEPA 2, in the form of a file of the reference."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.interop.huggingface import (
    DINOV2,
    MASK_TOKENS,
    VIT,
    VJEPA2_ENCODER,
    VJEPA2_PREDICTOR,
    probe_weights,
    translate,
    vit_weights,
    vjepa2_weights,
)
from jepa_lightning.interop.reading import read_weights, tensors_of
from jepa_lightning.interop.reference_file import Reference

NEED = {"hidden_act": "gelu", "qkv_bias": True}  # what the networks here are


def open_huggingface(folder: Path) -> Reference:
    """Reads a folder that an ``IJepaModel``, a ``VJEPA2Model`` or one with a head has been saved to.

    Their weights are those of the context encoder where the authors of ``transformers`` have converted them.

    Args:
        folder: with ``config.json`` and the weights.

    Raises:
        ValueError: if it holds another kind of model, or a tensor that such a model does not have.
    """
    content, config, _ = read_weights(folder)
    state, kind = tensors_of(content, folder), config.get("model_type")
    if kind not in ("ijepa", "vjepa2"):
        raise ValueError(
            f"{folder} is a model of kind {kind!r}, which is not read here: ijepa and vjepa2 are, and as encoders of "
            "IJEPA vit, dinov2 and dinov2_with_registers."
        )
    check_config(config, folder)
    found = Reference(str(folder), folder, str(kind), alone=True)
    found.heads, found.eps = int(config["num_attention_heads"]), float(config["layer_norm_eps"])
    try:
        if kind == "ijepa":
            found.networks["encoder"] = vit_weights(state, VIT, ("ijepa.",))
            found.image_size = _size(config["image_size"])
        else:
            _take_vjepa2(found, state, config)
    except ValueError as error:
        raise ValueError(f"cannot use {folder}: {error}") from error
    return found


def check_config(config: Mapping[str, Any], folder: Path) -> None:
    """Refuses networks that are not built here.

    Raises:
        ValueError: with the entry of the configuration.
    """
    lacking = [name for name in ("num_attention_heads", "layer_norm_eps", "patch_size") if name not in config]
    if lacking:
        raise ValueError(f"cannot use {folder}: its config.json has no {lacking[0]}.")
    for name, needed in NEED.items():
        if config.get(name, needed) != needed:
            raise ValueError(
                f"cannot use {folder}: its {name} is {config[name]!r}, and {needed!r} is what is built here."
            )


def _take_vjepa2(found: Reference, state: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    bare = {name.removeprefix("vjepa2."): value for name, value in state.items()}
    head = {name: value for name, value in bare.items() if name.startswith(("pooler.", "classifier."))}
    rest = {name: value for name, value in bare.items() if name not in head and name != MASK_TOKENS}
    _, unknown = translate(rest, (*VJEPA2_ENCODER, *VJEPA2_PREDICTOR))
    if unknown:
        raise ValueError(f"no V-JEPA 2 has {unknown[0]}.")
    encoder, predictor = vjepa2_weights(bare)
    found.networks = {"encoder": encoder, **({"predictor": predictor} if predictor else {})}
    if head:
        found.probes = [probe_weights(head)]
    found.image_size, found.num_frames = int(config["crop_size"]), int(config["frames_per_clip"])
    found.predictor_heads = int(config["pred_num_attention_heads"])


def _size(value: Any) -> int | tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, (list, tuple)) else int(value)


def timm_of(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A Vision Transformer of ``transformers`` as one of timm.

    Args:
        folder: of a ``ViTModel``, a ``Dinov2Model`` with or without registers, or one with a head.

    Returns:
        Arguments of ``TimmViT``, and the state dict of its ``model``.

    Raises:
        ValueError: if it holds another kind of model.
    """
    content, config, _ = read_weights(folder)
    state, kind = tensors_of(content, folder), config.get("model_type")
    if kind not in ("vit", "dinov2", "dinov2_with_registers"):
        raise ValueError(f"{folder} is a model of kind {kind!r}: vit, dinov2 and dinov2_with_registers are read here.")
    check_config(config, folder)
    if config.get("use_swiglu_ffn"):
        raise ValueError(f"{folder} has SwiGLU: take the same model from timm, as timm:vit_giant_patch14_dinov2.")
    prefixes = ("vit.", "dinov2.", "dinov2_with_registers.")
    weights = vit_weights(state, VIT if kind == "vit" else DINOV2, prefixes)
    width, size = int(config["hidden_size"]), _size(config["image_size"])
    hidden = int(config.get("intermediate_size") or 0) if kind == "vit" else round(width * config["mlp_ratio"])
    options: dict[str, Any] = {
        "embed_dim": width,
        "depth": int(config["num_hidden_layers"]),
        "num_heads": int(config["num_attention_heads"]),
        "mlp_ratio": hidden / width,
        "patch_size": int(config["patch_size"]),
    }
    if kind != "vit":
        options["init_values"] = float(config.get("layerscale_value", 1.0))
    if (registers := weights.get("reg_token")) is not None:
        options |= {"reg_tokens": int(registers.shape[1]), "no_embed_class": True}
        # here the class token's position is a part of it
        weights["cls_token"] = weights["cls_token"] + weights["pos_embed"][:, :1]
        weights["pos_embed"] = weights["pos_embed"][:, 1:]
    arguments = {
        "name": "vit_base_patch16_224",
        "image_size": (size, size) if isinstance(size, int) else size,
        "in_channels": int(config.get("num_channels", 3)),
        "options": options,
        "norm_eps": float(config["layer_norm_eps"]),
    }
    return arguments, weights
