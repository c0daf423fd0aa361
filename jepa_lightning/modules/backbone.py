"""The encoder of the methods that see whole images: a Vision Transformer, a network of timm, or the user's own."""

from typing import Any

from torch import nn

from jepa_lightning.modules.unused_options import refuse_unused
from jepa_lightning.nn import VIT_SIZES, TimmBackbone, VisionTransformer, vit_size
from jepa_lightning.nn.timm_model import has_patches, timm_name


def build_backbone(module: Any, **options: Any) -> nn.Module:
    """The encoder of a module, ``[B, C, H, W]`` to ``[B, N, D]``.

    Args:
        module: an ``EncoderModule`` with ``stem``, ``overrides`` of a named size, and ``drop_path``.
        options: further ones of a named size's ``VisionTransformer``, each an option of the module too.

    Raises:
        ValueError: if there is no such encoder, or an option is not for it.
    """
    name = module.encoder_option
    named = isinstance(name, str) and name in VIT_SIZES
    if module.stem != "default" and (named or not isinstance(name, str)):
        raise ValueError(f"stem '{module.stem}' is for ResNets like resnet18, not for {module.encoder_label}.")
    if named:
        size = vit_size(name, **module.overrides)
        given = {"in_channels": module.in_channels, "drop_path": module.drop_path, **options}
        return VisionTransformer(module.image_size, module.patch_size, *size, **given)
    if isinstance(name, str):
        timm_name(name)  # a wrong name is told before options that do not fit it
    refuse_unused(type(module), dict.fromkeys(options, f"{module.encoder_label} has layers of its own"), options)
    module.refuse_overrides(**module.overrides)
    if not isinstance(name, str):
        other: nn.Module = module.other_encoder(masked=False, drop_path=module.drop_path)
        return other
    backbone = TimmBackbone(
        name, module.image_size, module.stem, module.drop_path, module.in_channels, pretrained=module.pretrained
    )
    module.take_patch(backbone)
    return backbone


def unused_patch(encoder: Any) -> dict[str, str]:
    """The option of the size of patches with a reason, where an encoder has none.

    Args:
        encoder: the option of a module.
    """
    if isinstance(encoder, str) and encoder not in VIT_SIZES and not has_patches(encoder):
        return {"patch_size": f"{encoder} has no patches whose size can be set"}
    return {}
