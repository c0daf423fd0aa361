"""V-JEPA 2 in the form of ``transformers``, with its predictor and a probe on top."""

from typing import Any

from jepa_lightning.interop.huggingface import to_probe, to_vjepa2
from jepa_lightning.interop.huggingface_vit import TransformersModel
from jepa_lightning.nn import AttentiveClassifier


def transformers_vjepa2(module: Any, encoder: Any, probe: AttentiveClassifier | None) -> TransformersModel:
    """The model that computes what an encoder of clips and its predictor do.

    Args:
        module: a ``VJEPA`` with rotary positions of style ``vjepa2``.
        encoder: of it.
        probe: a classifier to put on top.

    Raises:
        ValueError: if there is none, with the reason.
    """
    _check(module, encoder, probe)
    name, config = "VJEPA2Model", _config(module, encoder)
    state = to_vjepa2(encoder.state_dict(), module.predictor.state_dict())
    if probe is None:
        return TransformersModel(name, config, state)
    state = {f"vjepa2.{key}": value for key, value in state.items()} | to_probe(probe.state_dict())
    labels = {str(number): f"LABEL_{number}" for number in range(probe.linear.out_features)}
    config |= {"num_pooler_layers": len(probe.pooler.blocks), "id2label": labels}
    config["label2id"] = {label: int(number) for number, label in labels.items()}
    return TransformersModel("VJEPA2ForVideoClassification", config, state)


def _check(module: Any, encoder: Any, probe: AttentiveClassifier | None) -> None:
    """Whether there is a model that computes the same."""
    reason = None
    if encoder.levels is not None or encoder.images or encoder.rope_grid is not None:
        reason = "it has what V-JEPA 2.1 has beyond V-JEPA 2: convert to reference or safetensors"
    elif encoder.reg_token is not None:
        reason = "its encoder has register tokens, and that of VJEPA2Model has none: convert to safetensors"
    elif encoder.rope is None:
        reason = "it adds its positions to clips, and VJEPA2Model rotates: convert to reference or safetensors"
    elif encoder.rope == "exact":
        reason = "its rope_style is exact, and that of VJEPA2Model is vjepa2: convert to safetensors"
    elif module.predictor.attention != "full":
        reason = "its predictor_attention is shared, and that of VJEPA2Model is full: convert to safetensors"
    elif module.image_size[0] != module.image_size[1]:
        reason = "its frames are no squares, and those of VJEPA2Model are: set image_size"
    elif len(encoder.patch) == 2:
        reason = "it rotates in images, and VJEPA2Model takes clips: set num_frames"
    elif probe is not None and (probe.pooler.generation != 2 or probe.pooler.norm1.eps != encoder.norm.eps):
        reason = f"its probe is not of generation=2 and eps={encoder.norm.eps:g}"
    if reason:
        raise ValueError(reason)


def _config(module: Any, encoder: Any) -> dict[str, Any]:
    predictor, hidden = module.predictor, encoder.blocks[0].mlp.fc1.out_features
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
