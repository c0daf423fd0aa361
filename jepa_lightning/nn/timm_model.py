# H W height and width
"""Networks of timm by their names."""

import difflib
from typing import Any

import timm

from jepa_lightning.nn.vit import VIT_SIZES

PREFIX = "timm:"


def timm_name(name: str) -> str:
    """The name of a network without ``timm:``, which may stand before it.

    Raises:
        ValueError: if timm has no such network, with the names that are nearest.
    """
    bare = name.removeprefix(PREFIX)
    if not timm.is_model(bare):
        known = timm.list_models() if name.startswith(PREFIX) else [*VIT_SIZES, *timm.list_models()]
        near = difflib.get_close_matches(bare, known, n=3)
        hint = f"did you mean {' or '.join(near)}?" if near else "timm.list_models() has their names."
        raise ValueError(f"there is no encoder '{name}': {hint}")
    return bare


def has_patches(name: str) -> bool:
    """Whether a network is a Vision Transformer with patches of one size.

    Args:
        name: one of ``timm.list_models()``, with or without ``timm:`` and a tag; False for others.
    """
    bare = name.removeprefix(PREFIX).partition(".")[0]
    return timm.models.is_model_in_modules(bare, ("vision_transformer", "eva"))


def create_timm_model(
    name: str,
    image_size: tuple[int, int],
    in_channels: int = 3,
    pretrained: bool = False,
    drop_path: float = 0.0,
    **options: Any,
) -> Any:
    """A network without its classifier.

    Args:
        name: one of ``timm.list_models()``, with or without ``timm:``; a tag after a point chooses the weights, as in
            ``vit_small_patch14_reg4_dinov2.lvd142m``.
        image_size: height and width, for networks that are built for one; timm's Vision Transformers also take others.
        in_channels: channels of the images; timm adapts the first layer of pretrained weights to another number.
        pretrained: load timm's weights, which are downloaded unless they are in its cache.
        drop_path: stochastic depth rate, for networks that have it.
        options: further ones of ``timm.create_model``.

    Raises:
        ValueError: if there is no such network or tag, or its weights cannot be downloaded.
    """
    bare = timm_name(name)
    if timm.get_pretrained_cfg_value(bare.partition(".")[0], "fixed_input_size"):
        options["img_size"] = image_size
        if has_patches(bare):
            options["dynamic_img_size"] = True
    if drop_path:
        options["drop_path_rate"] = drop_path
    if in_channels != 3:
        options["in_chans"] = in_channels
    try:
        return timm.create_model(bare, pretrained=pretrained, num_classes=0, **options)
    except (OSError, RuntimeError) as error:
        if not pretrained and not (isinstance(error, RuntimeError) and "tag" in str(error)):
            raise
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(
            f"the weights of {name} cannot be loaded (with a checkpoint set pretrained to false): {reason}"
        ) from error
