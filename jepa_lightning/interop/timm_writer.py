"""Our image encoders as files that ``timm.create_model(..., checkpoint_path=...)`` reads."""

from pathlib import Path
from typing import Any

from torch import Tensor

from jepa_lightning.interop.folders import file_appearing
from jepa_lightning.interop.reading import check_finite
from jepa_lightning.interop.safetensors_file import write_safetensors
from jepa_lightning.interop.torch_file import write_torch
from jepa_lightning.nn import VIT_SIZES, TimmBackbone, TimmViT, VisionTransformer
from jepa_lightning.nn.norm_eps import NORM_EPS
from jepa_lightning.nn.patch_embed import is_linear

# networks of timm of the sizes here, whose options are those of its `vit_*_ijepa`
NEAR = {
    "vit_tiny": "vit_tiny_patch16_224",
    "vit_small": "vit_small_patch16_224",
    "vit_base": "vit_base_patch16_224",
    "vit_large": "vit_large_patch16_224",
    "vit_huge": "vit_huge_patch14_gap_224",
    "vit_giant": "vit_giant_patch16_gap_224",
}


def write_timm(module: Any, path: Path, which: str = "target_encoder") -> str:
    """Writes an encoder of images.

    Args:
        module: with an encoder that timm can build.
        path: ``.safetensors``, or any other ending for a file of ``torch.save``.
        which: ``target_encoder``, which the papers evaluate, or ``context_encoder``, which timm has of the published
            models; methods without a target have one encoder alone.

    Returns:
        The call of timm that reads it.

    Raises:
        ValueError: if timm has no network that computes the same, or weights are not finite.
    """
    encoder = getattr(module, which, None)
    encoder = module.eval_encoder if encoder is None else encoder
    state, call = timm_state(encoder, module)
    check_finite(state, f"the weights of {type(module).__name__}")
    with file_appearing(path) as place:
        if path.suffix == ".safetensors":
            write_safetensors(state, place)
        else:
            write_torch(state, place)
    return f"timm.create_model({call}, checkpoint_path={str(path)!r})"


def timm_state(encoder: Any, module: Any) -> tuple[dict[str, Tensor], str]:
    """The state dict of an encoder for timm, and the arguments that build the network for it.

    Raises:
        ValueError: if timm has no network that computes the same.
    """
    if isinstance(encoder, (TimmViT, TimmBackbone)):
        call, eps = _call(*_timm_options(encoder, module)), getattr(encoder, "hparams", {}).get("norm_eps")
        return dict(encoder.model.state_dict()), call + _norms(eps)
    if type(encoder) is not VisionTransformer:
        raise ValueError(f"timm has no network like {type(encoder).__name__}: convert to safetensors.")
    if len(encoder.patch) == 3:
        raise ValueError("timm has no encoder of clips: convert to hf, reference or safetensors.")
    if encoder.levels is not None:
        raise ValueError("timm has no encoder with a norm for each level: convert to safetensors.")
    if encoder.rope is not None:
        raise ValueError("timm has no encoder that rotates as this one does: convert to safetensors.")
    if not is_linear(encoder.patch_embed):
        raise ValueError("timm has no patch_embedding but the linear one: convert to safetensors.")
    eps = encoder.norm.eps
    return dict(encoder.state_dict()), _call(*_vit_options(encoder, module)) + _norms(None if eps == NORM_EPS else eps)


def _vit_options(encoder: VisionTransformer, module: Any) -> tuple[str, dict[str, Any]]:
    size = {
        "embed_dim": encoder.width,
        "depth": len(encoder.blocks),
        "num_heads": int(encoder.blocks[0].attn.heads),  # type: ignore[union-attr, arg-type]
    }
    named = next((name for name, own in VIT_SIZES.items() if tuple(size.values()) == own[:3] and name in NEAR), None)
    hidden = int(encoder.blocks[0].mlp.fc1.out_features)  # type: ignore[union-attr, arg-type]
    options: dict[str, Any] = {"patch_size": encoder.patch[-1], "img_size": tuple(encoder.input_size)}
    if named is None:
        options |= {**size, "mlp_ratio": hidden / encoder.width}
    options |= {"class_token": False, "global_pool": "avg", "fc_norm": False, "num_classes": 0}
    if encoder.reg_token is not None:
        options |= {"reg_tokens": encoder.reg_token.shape[1], "no_embed_class": True}  # they have no position
    if module.in_channels != 3:
        options["in_chans"] = module.in_channels
    return NEAR[named] if named else "vit_base_patch16_224", options


def _timm_options(encoder: Any, module: Any) -> tuple[str, dict[str, Any]]:
    hparams = getattr(encoder, "hparams", {})
    name = str(hparams.get("name") or module.encoder_option).removeprefix("timm:")
    options = {"num_classes": 0, **hparams.get("options", {})}
    if isinstance(encoder, TimmViT):
        options |= {"img_size": tuple(encoder.input_size)}
    if module.in_channels != 3:
        options["in_chans"] = module.in_channels
    return name, options


def _norms(eps: float | None) -> str:
    """The argument for norms of another eps than timm's."""
    return "" if eps is None else f", norm_layer=functools.partial(torch.nn.LayerNorm, eps={eps!r})"


def _call(name: str, options: dict[str, Any]) -> str:
    return ", ".join([repr(name), *(f"{option}={value!r}" for option, value in options.items())])
