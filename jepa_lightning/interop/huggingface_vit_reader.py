"""Folders of ``transformers`` with a Vision Transformer that has a class token: a ViT, a DINOv2, one with registers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from jepa_lightning.interop.architecture import PATCHES
from jepa_lightning.interop.huggingface import DINOV2, VIT, left_out, vit_weights
from jepa_lightning.interop.huggingface_config import check_config, image_size, whole_number
from jepa_lightning.interop.reading import read_weights, tensors_of

VIT_KINDS = ("vit", "dinov2", "dinov2_with_registers")  # of the model_type of config.json
PREFIXES = tuple(f"{kind}." for kind in VIT_KINDS)
NEEDED = {PATCHES: 4, "blocks.0.mlp.fc1.weight": 2, "cls_token": 3, "pos_embed": 3}  # with their axes


class HuggingFaceViT(NamedTuple):
    """A Vision Transformer of ``transformers`` with a class token.

    Attributes:
        weights: under the names of timm; ``pos_embed`` has the class token's position first, and none of registers.
        skipped: what else is in the folder, each with the reason that it is left out.
        size: height and width of the images that its table of positions is for.
        patch: side of a patch in pixels.
        heads: attention heads.
        eps: of its norms.
        config: ``config.json``.
    """

    weights: dict[str, Tensor]
    skipped: dict[str, str]
    size: tuple[int, int]
    patch: int
    heads: int
    eps: float
    config: Mapping[str, Any]

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of its table of positions."""
        return self.size[0] // self.patch, self.size[1] // self.patch


def open_vit(folder: Path) -> HuggingFaceViT:
    """Reads a folder of a ``ViTModel``, a ``Dinov2Model`` with or without registers, or one with a head.

    Args:
        folder: with ``config.json``, whose ``model_type`` is one of ``VIT_KINDS``, and the weights.

    Raises:
        ValueError: if it has what no encoder here has, or its configuration does not fit its weights.
    """
    content, config, _ = read_weights(folder)
    check_config(config, folder)
    if config.get("use_swiglu_ffn"):
        raise ValueError(f"{folder} has SwiGLU: take the same model from timm, as timm:vit_giant_patch14_dinov2.")
    state, table = tensors_of(content, folder), VIT if config.get("model_type") == "vit" else DINOV2
    try:
        weights = vit_weights(state, table, PREFIXES)
    except ValueError as error:
        raise ValueError(f"cannot use {folder}: {error}") from error
    for name, axes in {**NEEDED, **({"reg_token": 3} if "reg_token" in weights else {})}.items():
        if name not in weights or weights[name].ndim != axes:
            raise ValueError(f"cannot use {folder}: its weights have no {name} of {axes} axes.")
    width = int(weights[PATCHES].shape[0])
    for name in ("cls_token", "pos_embed", "reg_token"):
        if name in weights and (weights[name].shape[0] != 1 or weights[name].shape[2] != width or not width):
            shape = list(weights[name].shape)
            raise ValueError(
                f"cannot use {folder}: its {name} has the shape {shape}, and its tokens a width of {width}."
            )
    heads = whole_number(config, "num_attention_heads", folder)
    if width % heads:
        raise ValueError(f"cannot use {folder}: its width {width} is no multiple of {heads} heads.")
    patch, positions = int(weights[PATCHES].shape[-1]), int(weights["pos_embed"].shape[1])
    size = image_size(config, patch, positions - 1, folder)
    skipped = left_out(state, PREFIXES)
    return HuggingFaceViT(weights, skipped, size, patch, heads, float(config["layer_norm_eps"]), config)
