# D width, P class and register tokens, N patch tokens
"""Vision Transformers of images in the form of ``transformers``: which of its models computes the same.

An encoder without a class token is an ``IJepaModel``; with one it is a ``ViTModel``, with LayerScale a ``Dinov2Model``,
and with register tokens too a ``Dinov2WithRegistersModel``.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from timm.layers import GELU
from timm.layers.attention import Attention
from timm.layers.mlp import Mlp
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import Block
from timm.models.vision_transformer import VisionTransformer as TimmVisionTransformer
from torch import Tensor, nn

from jepa_lightning.interop.huggingface import DINOV2, QKV, VIT, translate
from jepa_lightning.interop.key_names import back, split_qkv
from jepa_lightning.nn import ClassTokenViT, TimmBackbone, TimmViT, VisionTransformer

OTHER = "convert to timm or safetensors"
LINEAR = ("norm1", "attn.qkv", "attn.proj", "norm2", "mlp.fc1", "mlp.fc2")


class TransformersModel(NamedTuple):
    """A model of ``transformers``.

    Attributes:
        name: of its class.
        config: what is its own in ``config.json``.
        state: its state dict.
    """

    name: str
    config: dict[str, Any]
    state: dict[str, Tensor]


def transformers_vit(encoder: nn.Module) -> TransformersModel:
    """The model that computes what an encoder of images does.

    Args:
        encoder: a ``VisionTransformer`` with a table of positions, a ``ClassTokenViT``, or one of timm.

    Raises:
        ValueError: if there is none, with the reason.
    """
    state, rows = _like_timm(encoder)
    of_class, registers, scaled = "cls_token" in state, state.get("reg_token"), "blocks.0.ls1.gamma" in state
    _check_names(state, scaled)
    hidden = int(state["blocks.0.mlp.fc1.weight"].shape[0])
    if of_class:
        state = _with_class_position(state, rows)
    if not scaled and registers is None:
        name, kind = ("ViTModel", "vit") if of_class else ("IJepaModel", "ijepa")
        config = {"model_type": kind, "intermediate_size": hidden}
        return TransformersModel(name, config, translate(split_qkv(state, QKV), back(VIT))[0])
    if not scaled:
        raise ValueError(f"its encoder has register tokens and no LayerScale: {OTHER}")
    if not of_class:
        raise ValueError(f"its encoder has LayerScale and no class token: {OTHER}")
    return _dinov2(state, hidden)


def _dinov2(state: Mapping[str, Tensor], hidden: int) -> TransformersModel:
    width, registers = int(state["cls_token"].shape[-1]), state.get("reg_token")
    if hidden % width:
        raise ValueError(f"its MLPs are {hidden / width:.3g} times as wide as its tokens, no whole number: {OTHER}")
    config: dict[str, Any] = {
        "mlp_ratio": hidden // width,
        "layerscale_value": 1.0,
        "drop_path_rate": 0.0,
        "use_swiglu_ffn": False,
    }
    theirs, _ = translate(split_qkv(state, QKV), back(DINOV2))
    if registers is None:
        return TransformersModel("Dinov2Model", {"model_type": "dinov2", **config, "use_mask_token": False}, theirs)
    theirs["embeddings.mask_token"] = torch.zeros(1, width)  # that model always has one, and no encoder here
    config |= {"model_type": "dinov2_with_registers", "num_register_tokens": int(registers.shape[1])}
    return TransformersModel("Dinov2WithRegistersModel", config, theirs)


def _like_timm(encoder: nn.Module) -> tuple[dict[str, Tensor], int]:
    """The tensors of an encoder under timm's names, and the rows of its table of positions before the patches."""
    if isinstance(encoder, (TimmViT, TimmBackbone)):
        model = encoder.model
        if fault := timm_fault(model):
            raise ValueError(f"{fault}: {OTHER}")
        return dict(model.state_dict()), 0 if model.no_embed_class else model.num_prefix_tokens
    if type(encoder) not in (VisionTransformer, ClassTokenViT):
        raise ValueError(f"its encoder is a {type(encoder).__name__}: {OTHER}")
    state = dict(encoder.state_dict())
    if isinstance(encoder, ClassTokenViT):
        state["cls_token"] = state.pop("class_token")
    return state, 0


def timm_fault(model: Any) -> str | None:
    """What a network of timm has that none of these models has, and that its tensors do not tell; None if nothing."""
    reason = None
    if type(model) is not TimmVisionTransformer:
        reason = f"its encoder is timm's {type(model).__name__}"
    elif type(model.patch_embed) is not PatchEmbed or not isinstance(model.norm_pre, nn.Identity):
        reason = "its encoder does more than to project patches before its blocks"
    elif not isinstance(model.fc_norm, nn.Identity):
        reason = "its encoder has its last norm behind the pooling"
    elif len({layer.eps for layer in model.modules() if isinstance(layer, nn.LayerNorm)}) != 1:
        reason = "the norms of its encoder have several eps"
    for block in () if reason else model.blocks:
        if (parts := (type(block), type(block.attn), type(block.mlp))) != (Block, Attention, Mlp):
            reason = f"the blocks of its encoder are of {', '.join(part.__name__ for part in parts)}"
        elif not isinstance(block.mlp.act, (nn.GELU, GELU)) or getattr(block.mlp.act, "approximate", "none") != "none":
            reason = f"the MLPs of its encoder have {block.mlp.act}, and GELU is what is written"
    return reason


def _with_class_position(state: Mapping[str, Tensor], rows: int) -> dict[str, Tensor]:
    """Positions of class token and patches ``[1, 1 + N, D]``; those of register tokens become a part of these."""
    of_prefix, of_patches = state["pos_embed"].tensor_split([rows], dim=1)
    found = dict(state)
    if rows > 1:
        found["reg_token"] = state["reg_token"] + of_prefix[:, 1:]
    of_class = of_prefix[:, :1] if rows else torch.zeros_like(of_patches[:, :1])
    return {**found, "pos_embed": torch.cat([of_class, of_patches], dim=1)}


def _check_names(state: Mapping[str, Tensor], scaled: bool) -> None:
    """Refuses encoders that lack a tensor of these models, or have another one."""
    blocks = {name.split(".")[1] for name in state if name.startswith("blocks.")}
    wanted = {f"blocks.{i}.{name}.{kind}" for i in blocks for name in LINEAR for kind in ("weight", "bias")}
    wanted |= {"patch_embed.proj.weight", "patch_embed.proj.bias", "norm.weight", "norm.bias", "pos_embed"}
    if scaled:
        wanted |= {f"blocks.{i}.{name}.gamma" for i in blocks for name in ("ls1", "ls2")}
    if lacking := sorted(wanted - set(state)):
        raise ValueError(f"its encoder has no {lacking[0]}: {OTHER}")
    if any(name.startswith("patch_embed.layers.") for name in state):
        raise ValueError("its encoder has patch_embedding=convolutional: convert to safetensors")
    if more := sorted(set(state) - wanted - {"cls_token", "reg_token"}):
        raise ValueError(f"its encoder has {more[0]}, and none of those does: {OTHER}")
