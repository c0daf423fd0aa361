# C channels, H W height and width, N tokens, D width
"""Which network encodes the frames of a world model."""

from pathlib import Path
from typing import Any, Literal

from torch import nn

from jepa_lightning.modules.encoder_module import EncoderModule
from jepa_lightning.modules.frozen_encoder import FrozenEncoder
from jepa_lightning.nn import ClassTokenViT, ImpalaEncoder, TimmBackbone, VisionTransformer
from jepa_lightning.nn.encoder_spec import Encoder
from jepa_lightning.nn.timm_model import timm_name

IMPALA = "impala"
Pool = Literal["mean", "class"]


def opened(encoder: Encoder) -> Encoder:
    """The frozen encoder of a checkpoint where one is named; anything else as it is."""
    is_checkpoint = isinstance(encoder, (str, Path)) and Path(encoder).suffix == ".ckpt"
    return FrozenEncoder.from_checkpoint(encoder) if is_checkpoint else encoder  # type: ignore[arg-type]


def is_frozen(encoder: Any) -> bool:
    """Whether an encoder, or the spec of one in a checkpoint, is one of a finished run."""
    path = encoder.get("class_path", "") if isinstance(encoder, dict) else ""
    return isinstance(encoder, FrozenEncoder) or str(path).endswith(f".{FrozenEncoder.__name__}")


def frame_encoder(
    module: EncoderModule, width: int | None, depth: int | None, heads: int | None, pool: Pool, tokens: bool
) -> nn.Module:
    """The network, ``[B, C, H, W]`` to ``[B, N, D]``.

    Args:
        module: whose option it is, and whose image size, patch size and channels.
        width: D, in place of its own.
        depth: number of blocks of a named Vision Transformer, in place of its own.
        heads: of a named Vision Transformer, in place of its own.
        pool: "class" has one token, the class token.
        tokens: whether all patch tokens of a frame are needed, and so their grid.

    Raises:
        ValueError: if there is no such encoder, or an option is not for it.
    """
    name = module.encoder_option
    if name == IMPALA:
        if tokens:
            raise ValueError(
                "predictor 'tokens' needs an encoder with patch tokens, and impala gives one vector a frame: use "
                "predictor gru, mlp or adaln, or another encoder."
            )
        _refuse(IMPALA, depth=depth, heads=heads)
        return ImpalaEncoder(module.image_size, module.in_channels, width or 512)
    if size := module.named_size(width=width, depth=depth, heads=heads):
        kind = ClassTokenViT if pool == "class" else VisionTransformer
        return kind(module.image_size, module.patch_size, *size, in_channels=module.in_channels)
    if isinstance(name, str) and not tokens:
        network: nn.Module = _timm_backbone(module, name, pool)
        module.take_patch(network)
        return network
    if pool == "class":
        raise ValueError(f"pool='class' is for Vision Transformers by name, not for {module.encoder_label}.")
    return module.other_encoder(masked=False)


def frame_grid(module: Any, option: str) -> tuple[int, int]:
    """Rows and columns of the tokens of a frame.

    Args:
        module: whose encoder they are of.
        option: that needs them, for the message.

    Raises:
        ValueError: if the encoder does not say them.
    """
    grid = tuple(getattr(module.encoder, "grid_size", ()))
    if not grid:
        raise ValueError(
            f"{option} needs the grid of the encoder's tokens, and {module.encoder_label} has no grid_size."
        )
    rows, columns = (1, *grid)[-2:]
    return rows, columns


def _timm_backbone(module: EncoderModule, name: str, pool: Pool) -> nn.Module:
    timm_name(name)
    backbone = TimmBackbone(name, module.image_size, in_channels=module.in_channels, pretrained=module.pretrained)
    if pool == "class":
        if not getattr(backbone.model, "num_prefix_tokens", 0):
            raise ValueError(f"{name} has no class token for pool='class': leave pool out.")
        backbone.model.reset_classifier(0, "token")
    return backbone


def _refuse(encoder: str, **given: int | None) -> None:
    if wrong := [option for option, value in given.items() if value is not None]:
        raise ValueError(f"{' and '.join(wrong)} cannot be set for {encoder}: leave them out.")
