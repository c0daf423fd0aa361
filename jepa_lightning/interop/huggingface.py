# D width
"""Names of Hugging Face's I-JEPA, V-JEPA 2, ViT and DINOv2, and those of the reference or of timm, both ways."""

from collections.abc import Mapping

import torch
from torch import Tensor

from jepa_lightning.interop.key_names import Table, back, join_qkv, rename, split_qkv

QKV = ("query", "key", "value")
POOLER_QKV = ("q_proj", "k_proj", "v_proj")
MASK_TOKENS = "predictor.embeddings.mask_tokens"

# what folders of Vision Transformers have beyond an encoder
LEFT = {
    "pooler.": "a pooler behind the class token",
    "classifier.": "a head",
    "decoder.": "a head",
    "embeddings.mask_token": "it stands for masked patches, which are left out here",
}
# IJepaModel and ViTModel; those with a head have `ijepa.` or `vit.` before
VIT: Table = (
    ("embeddings.position_embeddings", "pos_embed"),
    ("embeddings.cls_token", "cls_token"),
    ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
    ("encoder.layer.{i}.layernorm_before", "blocks.{i}.norm1"),
    ("encoder.layer.{i}.layernorm_after", "blocks.{i}.norm2"),
    ("encoder.layer.{i}.attention.attention", "blocks.{i}.attn"),
    ("encoder.layer.{i}.attention.output.dense", "blocks.{i}.attn.proj"),
    ("encoder.layer.{i}.intermediate.dense", "blocks.{i}.mlp.fc1"),
    ("encoder.layer.{i}.output.dense", "blocks.{i}.mlp.fc2"),
    ("layernorm", "norm"),
)
# those of transformers 5 in memory; it writes the names above
NEWER: Table = (
    ("layers.{i}.attention.o_proj", "blocks.{i}.attn.proj"),
    ("layers.{i}.attention", "blocks.{i}.attn"),
    ("layers.{i}.layernorm_before", "blocks.{i}.norm1"),
    ("layers.{i}.layernorm_after", "blocks.{i}.norm2"),
    ("layers.{i}.mlp", "blocks.{i}.mlp"),
)
# Dinov2Model, and with registers
DINOV2: Table = (
    *VIT[:3],
    ("embeddings.register_tokens", "reg_token"),
    ("encoder.layer.{i}.norm1", "blocks.{i}.norm1"),
    ("encoder.layer.{i}.norm2", "blocks.{i}.norm2"),
    ("encoder.layer.{i}.attention.attention", "blocks.{i}.attn"),
    ("encoder.layer.{i}.attention.output.dense", "blocks.{i}.attn.proj"),
    ("encoder.layer.{i}.layer_scale1.lambda1", "blocks.{i}.ls1.gamma"),
    ("encoder.layer.{i}.layer_scale2.lambda1", "blocks.{i}.ls2.gamma"),
    ("encoder.layer.{i}.mlp.weights_in", "blocks.{i}.mlp.w12"),
    ("encoder.layer.{i}.mlp.weights_out", "blocks.{i}.mlp.w3"),
    ("encoder.layer.{i}.mlp", "blocks.{i}.mlp"),
    ("layernorm", "norm"),
)
VJEPA2_ENCODER: Table = (
    ("encoder.embeddings.patch_embeddings.proj", "patch_embed.proj"),
    ("encoder.layer.{i}.attention", "blocks.{i}.attn"),
    ("encoder.layer.{i}", "blocks.{i}"),
    ("encoder.layernorm", "norm"),
)
VJEPA2_PREDICTOR: Table = (
    ("predictor.embeddings.predictor_embeddings", "predictor_embed"),
    ("predictor.layer.{i}.attention", "predictor_blocks.{i}.attn"),
    ("predictor.layer.{i}", "predictor_blocks.{i}"),
    ("predictor.layernorm", "predictor_norm"),
    ("predictor.proj", "predictor_proj"),
)
# VJEPA2ForVideoClassification, to `AttentiveClassifier`
PROBE: Table = (
    ("pooler.query_tokens", "pooler.query_tokens"),
    ("pooler.cross_attention_layer.layer_norm1", "pooler.norm1"),
    ("pooler.cross_attention_layer.layer_norm2", "pooler.norm2"),
    ("pooler.cross_attention_layer.cross_attn.q_proj", "pooler.xattn.q"),
    ("pooler.cross_attention_layer.cross_attn.kv", "pooler.xattn.kv"),
    ("pooler.cross_attention_layer.mlp", "pooler.mlp"),
    ("pooler.self_attention_layers.{i}.layer_norm1", "pooler.blocks.{i}.norm1"),
    ("pooler.self_attention_layers.{i}.layer_norm2", "pooler.blocks.{i}.norm2"),
    ("pooler.self_attention_layers.{i}.self_attn.out_proj", "pooler.blocks.{i}.attn.proj"),
    ("pooler.self_attention_layers.{i}.self_attn", "pooler.blocks.{i}.attn"),
    ("pooler.self_attention_layers.{i}.mlp", "pooler.blocks.{i}.mlp"),
    ("classifier", "linear"),
)


def translate(state: Mapping[str, Tensor], table: Table) -> tuple[dict[str, Tensor], list[str]]:
    """Tensors under their new names, and the names that the table does not have.

    Raises:
        ValueError: if two of them would have one name.
    """
    named = {name: rename(name, table) for name in state}
    firsts: dict[str, str] = {}
    for name, new in named.items():
        if new and firsts.setdefault(new, name) != name:
            raise ValueError(f"the weights have {new} twice: as {firsts[new]}, and as {name}.")
    return {new: state[name] for name, new in named.items() if new}, [name for name, new in named.items() if not new]


def vjepa2_weights(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Translates the state dict of a ``transformers.VJEPA2Model``.

    Args:
        state: of the model, or of one with a classifier around it.

    Returns:
        State dicts for a ``VisionTransformer(rope="vjepa2")``, of the context encoder's weights (those are what
        is published there), and for a ``Predictor`` with as many mask tokens.

    Raises:
        ValueError: if it holds no V-JEPA 2, or tensors of other forms.
    """
    state = without_prefixes(state, ("vjepa2.",))
    if "encoder.embeddings.patch_embeddings.proj.weight" not in state:
        raise ValueError(
            "this state dict has no encoder.embeddings.patch_embeddings.proj.weight: it is not of a VJEPA2Model."
        )
    encoder, _ = translate(state, VJEPA2_ENCODER)
    predictor, _ = translate(state, VJEPA2_PREDICTOR)
    if MASK_TOKENS in state:
        if state[MASK_TOKENS].ndim != 4:
            raise ValueError(f"{MASK_TOKENS} has the shape {list(state[MASK_TOKENS].shape)}.")
        predictor |= {f"mask_tokens.{i}": token for i, token in enumerate(state[MASK_TOKENS])}
    return join_qkv(encoder, QKV), join_qkv(predictor, QKV)


def to_vjepa2(encoder: Mapping[str, Tensor], predictor: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of a ``VJEPA2Model`` from those of an encoder and a predictor with rotary positions."""
    tokens = [predictor[f"mask_tokens.{i}"] for i in range(sum(name.startswith("mask_tokens.") for name in predictor))]
    named = [name for name in predictor if not name.startswith("mask_tokens.")]
    ours, _ = translate(split_qkv(encoder, QKV), back(VJEPA2_ENCODER))
    theirs, _ = translate(split_qkv({name: predictor[name] for name in named}, QKV), back(VJEPA2_PREDICTOR))
    return {**ours, **theirs, MASK_TOKENS: torch.stack(tokens)}


def probe_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of an ``AttentiveClassifier`` from that of a ``VJEPA2ForVideoClassification``."""
    found: dict[str, Tensor] = {}
    cross = "pooler.cross_attention_layer.cross_attn."
    for name, value in state.items():
        if name.startswith(f"{cross}k_proj."):
            values = state.get(name.replace("k_proj", "v_proj"))
            if values is None or values.shape != value.shape or not value.ndim:
                raise ValueError(f"the weights have no values that fit their {name}.")
            found[name.replace("k_proj", "kv")] = torch.cat([value, values])
        elif name.startswith(("pooler.", "classifier.")) and not name.startswith(f"{cross}v_proj."):
            found[name] = value
    own = f"{cross}q_proj."
    kept = {name: value for name, value in found.items() if name.startswith(own)}
    rest = {name: value for name, value in found.items() if name not in kept}
    probe, unknown = translate({**join_qkv(rest, POOLER_QKV), **kept}, PROBE)
    if unknown or not probe:
        raise ValueError(f"no probe of V-JEPA 2 has {unknown[0] if unknown else 'no pooler'}.")
    return probe


def to_probe(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The pooler and the classifier of a ``VJEPA2ForVideoClassification`` from those of an ``AttentiveClassifier``."""
    theirs: dict[str, Tensor] = {}
    for name, value in split_qkv(state, POOLER_QKV).items():
        new = rename(name, back(PROBE)) or name
        if ".cross_attn.kv." in new:
            keys, values = value.chunk(2)
            theirs |= {new.replace("kv", "k_proj"): keys, new.replace("kv", "v_proj"): values}
        else:
            theirs[new] = value
    return theirs


def vit_weights(state: Mapping[str, Tensor], table: Table, prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """The encoder of an ``IJepaModel``, a ``ViTModel`` or a ``Dinov2Model`` under the names of timm and the reference.

    Args:
        state: of the model, or of one with a head.
        table: ``VIT`` or ``DINOV2``.
        prefixes: that models with a head put before.

    Raises:
        ValueError: if a tensor is none of the encoder's, the pooler's or a head's.
    """
    bare = without_prefixes(state, prefixes)
    found, unknown = translate(bare, (*table, *NEWER))
    if strange := [name for name in unknown if not name.startswith(tuple(LEFT))]:
        raise ValueError(f"no encoder of this kind has {strange[0]}.")
    return join_qkv(join_qkv(found, QKV), POOLER_QKV)


def left_out(state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, str]:
    """Tensors that ``vit_weights`` leaves out, each with the reason.

    Args:
        state: as there.
        prefixes: as there.
    """
    each = {name: _without(prefixes, name) for name in state}
    return {name: why for name, bare in each.items() for start, why in LEFT.items() if bare.startswith(start)}


def without_prefixes(state: Mapping[str, Tensor], prefixes: tuple[str, ...]) -> dict[str, Tensor]:
    """Tensors without what models with a head put before their names.

    Raises:
        ValueError: if two of them would have one name.
    """
    bare: dict[str, Tensor] = {}
    for name, value in state.items():
        if (short := _without(prefixes, name)) in bare:
            raise ValueError(f"the weights have {short} twice, with a prefix and without.")
        bare[short] = value
    return bare


def _without(prefixes: tuple[str, ...], name: str) -> str:
    for prefix in prefixes:
        name = name.removeprefix(prefix)
    return name


def to_vit(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict of an ``IJepaModel`` from that of an encoder with a sin-cos table."""
    return translate(split_qkv(state, QKV), back(VIT))[0]
