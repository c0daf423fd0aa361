# H W height and width, T frames
"""Our networks as folders that ``from_pretrained`` of ``transformers`` reads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.interop.folders import folder_appearing
from jepa_lightning.interop.huggingface_processor import processor_of
from jepa_lightning.interop.huggingface_vit import OTHER, transformers_vit
from jepa_lightning.interop.huggingface_vjepa2 import transformers_vjepa2
from jepa_lightning.interop.reading import check_finite
from jepa_lightning.interop.safetensors_file import write_safetensors
from jepa_lightning.nn import AttentiveClassifier, VisionTransformer


def write_huggingface(
    module: Any, folder: Path, which: str = "target_encoder", probe: AttentiveClassifier | None = None
) -> str:
    """Writes a model of ``transformers`` with its preprocessor.

    Encoders of clips with rotary positions of style ``vjepa2`` are a ``VJEPA2Model``, with a probe a
    ``VJEPA2ForVideoClassification``; for those of images see ``transformers_vit``. A ``ViTModel`` has a pooler behind
    its class token that no encoder here has: read it with ``add_pooling_layer=False``.

    Args:
        module: with an encoder of images, or of clips.
        folder: to write.
        which: ``target_encoder``, which the papers evaluate, or ``context_encoder``, which ``transformers`` has of the
            published models; methods without a target have one encoder alone.
        probe: a classifier to put on top, for clips.

    Returns:
        The name of the class that reads it.

    Raises:
        ValueError: if ``transformers`` has no model that computes the same.
    """
    encoder = getattr(module, which, None)
    encoder = module.eval_encoder if encoder is None else encoder
    clips = type(encoder) is VisionTransformer and (
        len(encoder.patch) == 3 or encoder.rope is not None or encoder.levels is not None
    )
    try:
        if probe is not None and not clips:
            raise ValueError("there is no model of images with an attentive probe")
        form = transformers_vjepa2(module, encoder, probe) if clips else transformers_vit(encoder)
        config = _shared(encoder) | form.config | ({} if clips else _of_images(module, form.name))
    except ValueError as error:
        raise ValueError(f"{type(module).__name__} has no like in transformers: {error}.") from error
    _write(folder, {"architectures": [form.name], **config}, form.state, processor_of(module, clips))
    return form.name


def _shared(encoder: Any) -> dict[str, Any]:
    """What the configurations of all of these models have."""
    height, width = encoder.patch[-2:]
    if height != width:
        raise ValueError(f"its patches of {height} x {width} pixels are no squares: {OTHER}")
    network = getattr(encoder, "model", encoder)
    attention = network.blocks[0].attn
    return {
        "patch_size": height,
        "hidden_size": encoder.width,
        "num_attention_heads": getattr(attention, "num_heads", None) or attention.heads,
        "num_hidden_layers": len(network.blocks),
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": network.norm.eps,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "dtype": "float32",
    }


def _of_images(module: Any, name: str) -> dict[str, Any]:
    """What those of images have."""
    height, width = module.image_size
    if height != width and name.startswith("Dinov2"):
        raise ValueError(f"its images of {height} x {width} pixels are no squares, and those of {name} are: {OTHER}")
    size = height if height == width else [height, width]
    return {"num_channels": module.in_channels, "hidden_dropout_prob": 0.0, "image_size": size}


def _write(
    folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor], others: Mapping[str, Mapping[str, Any]]
) -> None:
    check_finite(state, "the weights of the encoder")
    with folder_appearing(folder) as place:
        write_safetensors(state, place / "model.safetensors")
        for name, content in {"config.json": config, **others}.items():
            (place / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
