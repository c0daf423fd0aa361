# H W height and width, T frames
"""Our networks as folders that ``from_pretrained`` of ``transformers`` reads."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from jepa_lightning.interop.folders import folder_appearing
from jepa_lightning.interop.huggingface import to_probe, to_vit, to_vjepa2
from jepa_lightning.interop.safetensors_file import write_safetensors
from jepa_lightning.nn import AttentiveClassifier, VisionTransformer

BILINEAR = 2  # of PIL


def write_huggingface(
    module: Any, folder: Path, which: str = "target_encoder", probe: AttentiveClassifier | None = None
) -> str:
    """Writes an ``IJepaModel``, a ``VJEPA2Model`` or a ``VJEPA2ForVideoClassification``, with its preprocessor.

    Args:
        module: an ``IJEPA``, or a ``VJEPA`` with rotary positions of style ``vjepa2``.
        folder: to write.
        which: ``target_encoder``, which the papers evaluate, or ``context_encoder``, which ``transformers`` has of the
            published models.
        probe: a classifier to put on top, for clips.

    Returns:
        The name of the class that reads it.

    Raises:
        ValueError: if ``transformers`` has no model that computes the same.
    """
    encoder = getattr(module, which)
    _check(module, encoder, probe)
    height, width = module.image_size
    shared = {
        "patch_size": module.patch_size,
        "hidden_size": encoder.width,
        "num_attention_heads": encoder.blocks[0].attn.heads,
        "num_hidden_layers": len(encoder.blocks),
        "hidden_act": "gelu",
        "qkv_bias": True,
        "layer_norm_eps": encoder.norm.eps,
        "attention_probs_dropout_prob": 0.0,
        "initializer_range": 0.02,
        "dtype": "float32",
    }
    hidden = encoder.blocks[0].mlp.fc1.out_features
    if encoder.rope is None:
        name, state = "IJepaModel", to_vit(encoder.state_dict())
        config = {
            "model_type": "ijepa",
            "image_size": height if height == width else [height, width],
            "num_channels": module.in_channels,
            "intermediate_size": hidden,
            "hidden_dropout_prob": 0.0,
        }
        processor = {"preprocessor_config.json": _image_processor(module)}
    else:
        name, config = "VJEPA2Model", _vjepa2_config(module, encoder, hidden)
        state = to_vjepa2(encoder.state_dict(), module.predictor.state_dict())
        processor = {"video_preprocessor_config.json": _video_processor(module)}
        if probe is not None:
            name = "VJEPA2ForVideoClassification"
            state = {f"vjepa2.{key}": value for key, value in state.items()} | to_probe(probe.state_dict())
            classes = probe.linear.out_features
            labels = {str(number): f"LABEL_{number}" for number in range(classes)}
            config |= {"num_pooler_layers": len(probe.pooler.blocks), "id2label": labels}
            config["label2id"] = {label: int(number) for number, label in labels.items()}
    _write(folder, {"architectures": [name], **shared, **config}, state, processor)
    return name


def _check(module: Any, encoder: nn.Module, probe: AttentiveClassifier | None) -> None:
    """Whether there is a model that computes the same."""
    reason = None
    if not isinstance(encoder, VisionTransformer) or type(encoder) is not VisionTransformer:
        reason = f"its encoder is a {type(encoder).__name__}: convert to timm or safetensors"
    elif encoder.levels is not None or encoder.images or encoder.rope_grid is not None:
        reason = "it has what V-JEPA 2.1 has beyond V-JEPA 2: convert to reference or safetensors"
    elif encoder.rope is not None and module.predictor.attention != "full":
        reason = "its predictor_attention is shared, and that of VJEPA2Model is full: convert to safetensors"
    elif encoder.rope is None and len(encoder.patch) == 3:
        reason = "it adds its positions to clips, and VJEPA2Model rotates: convert to reference or safetensors"
    elif encoder.rope == "exact":
        reason = "its rope_style is exact, and that of VJEPA2Model is vjepa2: convert to safetensors"
    elif encoder.rope is not None and module.image_size[0] != module.image_size[1]:
        reason = "its frames are no squares, and those of VJEPA2Model are: set image_size"
    elif encoder.rope is not None and len(encoder.patch) == 2:
        reason = "it rotates in images, and VJEPA2Model takes clips: set num_frames"
    elif encoder.rope is None and probe is not None:
        reason = "IJepaForImageClassification has no attentive probe"
    elif probe is not None and (probe.pooler.generation != 2 or probe.pooler.norm1.eps != encoder.norm.eps):
        reason = f"its probe is not of generation=2 and eps={encoder.norm.eps:g}"
    if reason:
        raise ValueError(f"{type(module).__name__} has no like in transformers: {reason}.")


def _vjepa2_config(module: Any, encoder: Any, hidden: int) -> dict[str, Any]:
    predictor = module.predictor
    width = predictor.predictor_embed.out_features
    return {
        "model_type": "vjepa2",
        "crop_size": module.image_size[0],
        "frames_per_clip": module.num_frames,
        "tubelet_size": encoder.patch[0],
        "in_chans": module.in_channels,
        "mlp_ratio": hidden / encoder.width,
        "pred_hidden_size": width,
        "pred_num_attention_heads": predictor.predictor_blocks[0].attn.heads,
        "pred_num_hidden_layers": len(predictor.predictor_blocks),
        "pred_num_mask_tokens": len(predictor.mask_tokens),
        "pred_mlp_ratio": predictor.predictor_blocks[0].mlp.fc1.out_features / width,
        "drop_path_rate": 0.0,
    }


def _image_processor(module: Any) -> dict[str, Any]:
    """As in validation here: the shorter side to that of the view, and the middle of the longer one."""
    height, width = module.image_size
    return {
        "image_processor_type": "BitImageProcessor",
        "do_convert_rgb": module.in_channels == 3,
        "do_resize": True,
        "size": {"shortest_edge": min(height, width)} if height == width else {"height": height, "width": width},
        "resample": BILINEAR,
        "do_center_crop": height == width,
        "crop_size": {"height": height, "width": width},
        **_normalization(module),
    }


def _video_processor(module: Any) -> dict[str, Any]:
    size = module.image_size[0]
    return {
        "video_processor_type": "VJEPA2VideoProcessor",
        "crop_size": {"height": size, "width": size},
        "resample": BILINEAR,
        **_normalization(module),
    }


def _normalization(module: Any) -> dict[str, Any]:
    return {
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(module.mean),
        "image_std": list(module.std),
    }


def _write(
    folder: Path, config: Mapping[str, Any], state: Mapping[str, Tensor], others: Mapping[str, Mapping[str, Any]]
) -> None:
    with folder_appearing(folder) as place:
        write_safetensors(state, place / "model.safetensors")
        for name, content in {"config.json": config, **others}.items():
            (place / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
