# D width, R register tokens, N patch tokens
"""Class token and positions of a Vision Transformer of ``transformers`` as a network of timm has them."""

from typing import Any

import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from jepa_lightning.interop.huggingface_vit_reader import HuggingFaceViT
from jepa_lightning.interop.report import LoadReport

TABLE = "pos_embed"


def fit_tokens(found: HuggingFaceViT, model: Any, report: LoadReport) -> dict[str, Tensor]:
    """Weights for a network of timm: where it keeps the class token's position, and for how many patches.

    Args:
        found: with positions of the class token and the patches ``[1, 1 + N, D]``.
        model: a ``VisionTransformer`` of timm.
        report: gets what was done.

    Returns:
        Its state dict. Its table is ``[1, N, D]`` with ``no_embed_class``, where the class token has taken up its
        position, and else ``[1, 1 + R + N, D]`` with zeros for registers, which have no positions in ``transformers``.
    """
    state = dict(found.weights)
    of_class, of_patches = state[TABLE].tensor_split([1], dim=1)
    of_patches = _resampled(of_patches, found, tuple(model.patch_embed.grid_size), report)
    if model.cls_token is None:
        del state["cls_token"]
        report.skipped["cls_token"] = "the encoder here has no class token"
        state[TABLE] = of_patches
    elif model.no_embed_class:
        state["cls_token"] = state["cls_token"] + of_class
        report.reshaped["cls_token"] = "with its position, which is in no table of the encoder here"
        state[TABLE] = of_patches
    else:
        of_registers = torch.zeros_like(of_class).expand(-1, model.num_prefix_tokens - 1, -1)
        state[TABLE] = torch.cat([of_class, of_registers, of_patches], dim=1)
        if model.num_prefix_tokens > 1:
            report.reshaped[TABLE] = "with zeros for register tokens, which have no positions there"
    return state


def _resampled(table: Tensor, found: HuggingFaceViT, here: tuple[int, ...], report: LoadReport) -> Tensor:
    """Positions ``[1, N, D]`` of the patches, interpolated for another grid as ``transformers`` does."""
    there = found.grid
    if there == here:
        return table
    report.reshaped[TABLE] = f"interpolated for the grid {_times(here)}, that of the file is for {_times(there)}"
    smooth = found.config.get("model_type") == "dinov2_with_registers"  # which alone has an antialias there
    resampled: Any = resample_abs_pos_embed(
        table.float(), list(here), list(there), num_prefix_tokens=0, antialias=smooth
    )
    fitted: Tensor = resampled
    return fitted


def _times(grid: tuple[int, ...]) -> str:
    return "x".join(map(str, grid))
