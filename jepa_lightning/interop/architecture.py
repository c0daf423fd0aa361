# D width, N tokens
"""What an encoder or a predictor of the reference is like, read from the shapes of its tensors."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from torch import Tensor

from jepa_lightning.nn import VIT_SIZES, ViTSize

Family = Literal["ijepa", "vjepa", "vjepa2", "vjepa2_ac", "vjepa2_1"]
ROTARY = ("vjepa2", "vjepa2_ac", "vjepa2_1")
LEVELS = {12: (2, 5, 8, 11), 24: (5, 11, 17, 23), 40: (9, 19, 29, 39), 48: (11, 23, 37, 47)}  # of V-JEPA 2.1, by depth
RELEASED_GRID = 16  # rows and columns that V-JEPA 2.1 spreads its positions over
PATCHES, BLOCK = "patch_embed.proj.weight", re.compile(r"(?:predictor_)?blocks\.(\d+)\.")


@dataclass(frozen=True)
class EncoderForm:
    """Size and input of an encoder.

    Args:
        name: in ``VIT_SIZES``, of the same MLP ratio and, where there is one, of the same size.
        size: width, depth, heads and MLP ratio.
        patch_size: in pixels.
        tubelet_size: frames in a token; None for images.
        in_channels: of the input.
        table: number of tokens that a position table in the file has; None without one.
    """

    name: str
    size: ViTSize
    patch_size: int
    tubelet_size: int | None
    in_channels: int
    table: int | None

    def overrides(self) -> dict[str, int]:
        """What differs from the named size."""
        named = VIT_SIZES[self.name]
        return {
            key: getattr(self.size, key)
            for key in ("width", "depth", "heads")
            if getattr(self.size, key) != getattr(named, key)
        }


def check_family(family: str | None) -> None:
    """Refuses a family that there is not.

    Raises:
        ValueError: if it is none of ``Family``.
    """
    if family is not None and family not in get_args(Family):
        raise ValueError(f"there is no family '{family}' of weights: choose one of {', '.join(get_args(Family))}.")


def encoder_form(state: Mapping[str, Tensor], family: str, heads: int | None, source: Any) -> EncoderForm:
    """What an encoder's tensors say about it.

    Args:
        state: under the names of the reference.
        family: of the model: heads and, for one size, the number of heads are not in the file.
        heads: where the size is not a known one.
        source: the file, for messages.

    Raises:
        ValueError: if it is no such encoder, or of a size whose heads are not known.
    """
    patches, depth, hidden = state.get(PATCHES), depth_of(state), state.get("blocks.0.mlp.fc1.weight")
    if patches is None or patches.ndim not in (4, 5) or not depth or hidden is None or not patches.numel():
        raise ValueError(
            f"cannot use {source}: this is no Vision Transformer of the reference, its encoder has "
            f"{_some(state)} and no {PATCHES} or blocks.0.mlp.fc1.weight of the form that it should have."
        )
    width, channels = int(patches.shape[0]), int(patches.shape[1])
    ratio = hidden.shape[0] / width
    table = state.get("pos_embed")
    return EncoderForm(
        *_named(width, depth, ratio, family, heads, source),
        patch_size=int(patches.shape[-1]),
        tubelet_size=int(patches.shape[2]) if patches.ndim == 5 else None,
        in_channels=channels,
        table=None if table is None else int(table.shape[1]),
    )


def levels_of(
    state: Mapping[str, Tensor], depth: int, given: Sequence[int] | None, source: Any
) -> tuple[int, ...] | None:
    """Blocks whose outputs have a norm of their own; None where the encoder has one norm alone.

    Args:
        state: of the encoder.
        depth: its number of blocks.
        given: the blocks, which the file does not say.
        source: the file, for messages.

    Raises:
        ValueError: if they are not known, or as many as the norms.
    """
    number = len({name.split(".")[1] for name in state if name.startswith("norms_block.")})
    if not number:
        return None
    levels = tuple(LEVELS.get(depth, ()) if given is None else given)
    if len(levels) != number:
        raise ValueError(
            f"{source} has norms of {number} levels and an encoder of {depth} blocks, whose levels are not known: give "
            f"levels, {number} numbers of blocks."
        )
    return levels


def positions_of(family: str, state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Positions and modalities, as options of ``VisionTransformer`` and of ``Predictor``.

    Args:
        family: of the model.
        state: of the network.
    """
    if family == "vjepa2_1":
        return {"rope": "exact", "rope_grid": RELEASED_GRID, "images": "img_mod_embed" in state}
    if family == "ijepa":
        return {}
    return {"rope": "vjepa2"} if family in ROTARY else {"pos_order": "hw", "pos_uniform": True}


def predictor_form(state: Mapping[str, Tensor], heads: int | None, encoder_heads: int, family: str) -> dict[str, Any]:
    """Width, depth, heads and number of mask tokens of a predictor, as arguments of ``Predictor``.

    Args:
        state: under the names of the reference.
        heads: of the predictor; None takes the reference's: the encoder's, or 12 in its second version.
        encoder_heads: of the encoder.
        family: of the model.

    Raises:
        ValueError: if it is no predictor.
    """
    fused = state.get("predictor_embed.0.weight")
    embed, depth = state.get("predictor_embed.weight" if fused is None else "predictor_embed.2.weight"), depth_of(state)
    if embed is None or not depth:
        raise ValueError(f"this is no predictor of the reference: it has {_some(state)}.")
    width = int(embed.shape[0])
    if heads is None:
        heads = encoder_heads if family not in ROTARY else 12 if width == 384 else max(1, width // 32)
    tokens = sum(name.startswith("mask_tokens.") for name in state)
    found = {"width": width, "depth": depth, "heads": heads, "num_mask_tokens": tokens or None}
    if family == "vjepa2_1":
        found["num_levels"] = 1 if fused is None else fused.shape[1] // fused.shape[0]
        found["context_head"] = "predictor_proj_context.weight" in state
        found["out_width"] = int(state["predictor_proj.weight"].shape[0]) if "predictor_proj.weight" in state else None
    return found


def grid_of_table(tokens: int, frames: int | None, source: Any) -> tuple[int, ...]:
    """Rows and columns of a square table, or frames, rows and columns.

    Args:
        tokens: N.
        frames: tubelets of a clip; None for images.
        source: the file, for the message.

    Raises:
        ValueError: if there is no such grid.
    """
    space, rest = divmod(tokens, frames or 1)
    side = math.isqrt(space)
    if rest or side * side != space:
        what = f"{frames} tubelets of a square grid" if frames else "a square grid"
        raise ValueError(
            f"cannot use {source}: its position table has {tokens} tokens, which are not {what}: give image_size"
            f"{' and num_frames' if frames else ''}."
        )
    return (side, side) if frames is None else (frames, side, side)


def _named(width: int, depth: int, ratio: float, family: str, heads: int | None, source: Any) -> tuple[str, ViTSize]:
    alike = [name for name, size in VIT_SIZES.items() if math.isclose(size.mlp_ratio, ratio, rel_tol=1e-3)]
    if not alike:
        raise ValueError(f"cannot use {source}: its MLPs are {ratio:.3g} times as wide as its tokens, as no size here.")
    same = [name for name in alike if VIT_SIZES[name][:2] == (width, depth)]
    # the ViT-g of V-JEPA 2 has the shapes of I-JEPA's and other heads
    same.sort(key=lambda name: name.endswith("_xformers") != (family in ROTARY))
    if not same and heads is None:
        raise ValueError(
            f"cannot use {source}: its encoder of width {width} and {depth} blocks is no known size, so its number of "
            "attention heads is not known: give heads."
        )
    name = same[0] if same else alike[0]
    known = VIT_SIZES[name]
    return name, ViTSize(width, depth, heads or known.heads, known.mlp_ratio)


def depth_of(state: Mapping[str, Tensor]) -> int:
    """The number of blocks of an encoder or of a predictor, under the names of the reference."""
    return len({found[1] for name in state if (found := BLOCK.match(name))})


def _some(names: Iterable[str]) -> str:
    found = list(names)
    return ", ".join(found[:3]) + (", ..." if len(found) > 3 else "") if found else "nothing"
