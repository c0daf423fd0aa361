# D width
"""Weights of Hugging Face's V-JEPA 2 for the networks of this package."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

NAMES = {
    r"^encoder\.embeddings\.patch_embeddings\.": "patch_embed.",
    r"^encoder\.layer\.": "blocks.",
    r"^encoder\.layernorm\.": "norm.",
    r"^predictor\.embeddings\.predictor_embeddings\.": "predictor_embed.",
    r"^predictor\.layer\.": "predictor_blocks.",
    r"^predictor\.layernorm\.": "predictor_norm.",
    r"^predictor\.proj\.": "predictor_proj.",
    r"\.attention\.": ".attn.",
}
JOINED = re.compile(r"\.attn\.(query|key|value)\.")
MASK_TOKENS = "predictor.embeddings.mask_tokens"


def vjepa2_weights(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Translates the state dict of a ``transformers.VJEPA2Model``.

    Args:
        state: of the model, or of one with a classifier around it.

    Returns:
        State dicts for a ``VisionTransformer(rope="vjepa2")``, of the context encoder's weights (those are what
        is published there), and for a ``Predictor`` with as many mask tokens.

    Raises:
        ValueError: if it holds no V-JEPA 2.
    """
    state = {name.removeprefix("vjepa2."): value for name, value in state.items()}
    if "encoder.embeddings.patch_embeddings.proj.weight" not in state:
        raise ValueError(
            "this state dict has no encoder.embeddings.patch_embeddings.proj.weight: it is not of a VJEPA2Model."
        )
    encoder: dict[str, Tensor] = {}
    predictor: dict[str, Tensor] = {}
    for name, value in state.items():
        ours = encoder if name.startswith("encoder.") else predictor
        if name == MASK_TOKENS:
            predictor |= {f"mask_tokens.{i}": token for i, token in enumerate(value)}
        elif name.startswith(("encoder.", "predictor.")):
            ours[_rename(name)] = value
    return _join(encoder), _join(predictor)


def _rename(name: str) -> str:
    for theirs, ours in NAMES.items():
        name = re.sub(theirs, ours, name)
    return name


def _join(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Puts queries, keys and values into one layer, ``[3 D, ...]``."""
    joined: dict[str, list[Tensor]] = {}
    for name in list(state):
        if match := JOINED.search(name):
            parts = joined.setdefault(JOINED.sub(".attn.qkv.", name), [torch.empty(0)] * 3)
            parts[("query", "key", "value").index(match[1])] = state.pop(name)
    return state | {name: torch.cat(parts) for name, parts in joined.items()}
