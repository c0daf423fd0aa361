from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.interop.architecture import (
    EncoderForm,
    check_family,
    encoder_form,
    grid_of_table,
    levels_of,
    positions_of,
    predictor_form,
)
from jepa_lightning.nn import VIT_SIZES, ViTSize


def empty(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta")


def encoder(width: int, depth: int, hidden: int, *patch: int, channels: int = 3, table: int = 0) -> dict[str, Tensor]:
    blocks = {f"blocks.{i}.mlp.fc1.weight": empty(hidden, width) for i in range(depth)}
    positions = {"pos_embed": empty(1, table, width)} if table else {}
    return {"patch_embed.proj.weight": empty(width, channels, *(patch or (16, 16))), **blocks, **positions}


def predictor(width: int, depth: int, tokens: int = 0) -> dict[str, Tensor]:
    blocks = {f"predictor_blocks.{i}.norm1.weight": empty(width) for i in range(depth)}
    masks = {f"mask_tokens.{i}": empty(1, 1, width) for i in range(tokens)} or {"mask_token": empty(1, 1, width)}
    return {"predictor_embed.weight": empty(width, 48), "predictor_proj.weight": empty(48, width), **blocks, **masks}


@pytest.mark.parametrize(
    ("width", "depth", "hidden", "family", "heads"),
    [
        (1280, 32, 5120, "ijepa", 16),
        (1408, 40, 6144, "ijepa", 16),
        (1408, 40, 6144, "vjepa2", 22),
        (1024, 24, 4096, "vjepa", 16),
    ],
)
def test_heads_of_known_sizes_follow_the_family(width: int, depth: int, hidden: int, family: str, heads: int) -> None:
    found = encoder_form(encoder(width, depth, hidden), family, None, "x")
    assert found.size.heads == heads
    assert found.overrides() == {}
    assert VIT_SIZES[found.name] == found.size


def test_patches_of_images_and_of_clips_say_the_input() -> None:
    images = encoder_form(encoder(192, 12, 768, 14, 14, channels=1, table=9), "ijepa", 3, "x")
    assert (images.patch_size, images.tubelet_size, images.in_channels, images.table) == (14, None, 1, 9)
    clips = encoder_form(encoder(192, 12, 768, 2, 16, 16), "vjepa2", 3, "x")
    assert (clips.patch_size, clips.tubelet_size, clips.in_channels, clips.table) == (16, 2, 3, None)


def test_a_size_that_is_not_known_has_the_heads_that_are_given() -> None:
    state = encoder(48, 2, 192)
    found = encoder_form(state, "ijepa", 3, "x")
    assert found.size == ViTSize(48, 2, 3, 4.0)
    assert {**found.overrides(), "heads": 3} == {"width": 48, "depth": 2, "heads": 3}
    with pytest.raises(
        ValueError, match=r"cannot use x: its encoder of width 48 and 2 blocks is no known size.*give hea"
    ):
        encoder_form(state, "ijepa", None, "x")
    with pytest.raises(ValueError, match="its MLPs are 3 times as wide as its tokens"):
        encoder_form(encoder(48, 2, 144), "ijepa", 3, "x")


@pytest.mark.parametrize(
    "change", [{"patch_embed.proj.weight": empty(48, 3)}, {"patch_embed.proj.weight": empty(0, 3, 8, 8)}]
)
def test_patches_of_another_form_are_no_encoder(change: dict[str, Tensor]) -> None:
    with pytest.raises(
        ValueError, match=r"no Vision Transformer of the reference, its encoder has patch_embed.*, \.\.\."
    ):
        encoder_form({**encoder(48, 4, 192), **change}, "ijepa", 3, "x")


def test_nothing_is_no_encoder_and_no_predictor() -> None:
    with pytest.raises(ValueError, match="its encoder has nothing and no patch_embed"):
        encoder_form({}, "ijepa", 3, "x")
    with pytest.raises(ValueError, match=r"this is no predictor of the reference: it has a\."):
        predictor_form({"a": empty(2)}, None, 3, "ijepa")


def test_overrides_are_what_differs_from_the_named_size() -> None:
    name, named = next(iter(VIT_SIZES.items()))
    own = named._replace(depth=named.depth + 1)
    assert EncoderForm(name, own, 16, None, 3, None).overrides() == {"depth": named.depth + 1}


def test_levels_are_known_for_published_depths_or_are_given() -> None:
    state: dict[str, Any] = {f"norms_block.{i}.{name}": empty(2) for i in range(4) for name in ("weight", "bias")}
    assert levels_of({"norm.weight": empty(2)}, 12, None, "x") is None
    assert levels_of(state, 12, None, "x") == (2, 5, 8, 11)
    assert levels_of(state, 13, [0, 1, 2, 12], "x") == (0, 1, 2, 12)
    for depth, given in ((13, None), (12, [0, 1])):
        with pytest.raises(
            ValueError, match=rf"x has norms of 4 levels and an encoder of {depth} blocks.*4 numbers of b"
        ):
            levels_of(state, depth, given, "x")


def test_positions_follow_the_family() -> None:
    assert positions_of("ijepa", {}) == {}
    assert positions_of("vjepa", {}) == {"pos_order": "hw", "pos_uniform": True}
    assert positions_of("vjepa2", {}) == positions_of("vjepa2_ac", {}) == {"rope": "vjepa2"}
    assert positions_of("vjepa2_1", {})["images"] is False
    assert positions_of("vjepa2_1", {"img_mod_embed": empty(1)}) == {"rope": "exact", "rope_grid": 16, "images": True}


@pytest.mark.parametrize(
    ("width", "family", "given", "heads"),
    [(24, "ijepa", None, 5), (384, "vjepa", None, 5), (384, "vjepa2", None, 12), (96, "vjepa2", None, 3),
     (24, "vjepa2", None, 1), (384, "vjepa2", 7, 7)],
)  # fmt: skip
def test_heads_of_a_predictor_are_those_of_the_reference(
    width: int, family: str, given: int | None, heads: int
) -> None:
    found = predictor_form(predictor(width, 3, 2), given, 5, family)
    assert found == {"width": width, "depth": 3, "heads": heads, "num_mask_tokens": 2}
    assert predictor_form(predictor(width, 3), given, 5, family)["num_mask_tokens"] is None


def test_a_predictor_of_several_levels() -> None:
    state = predictor(48, 2)
    state |= {"predictor_embed.0.weight": empty(64, 256), "predictor_embed.2.weight": empty(48, 64)}
    found = predictor_form(state, None, 3, "vjepa2_1")
    assert (found["width"], found["num_levels"], found["context_head"], found["out_width"]) == (48, 4, False, 48)
    assert predictor_form({**state, "predictor_proj_context.weight": empty(2)}, 1, 3, "vjepa2_1")["context_head"]


def test_tables_of_square_grids() -> None:
    assert grid_of_table(1, None, "x") == (1, 1)
    assert grid_of_table(196, None, "x") == (14, 14)
    assert grid_of_table(8 * 196, 8, "x") == (8, 14, 14)
    with pytest.raises(ValueError, match=r"has 15 tokens, which are not a square grid: give image_size\.$"):
        grid_of_table(15, None, "x")
    for tokens in (17, 24):
        with pytest.raises(ValueError, match="are not 4 tubelets of a square grid: give image_size and num_frames"):
            grid_of_table(tokens, 4, "x")


def test_a_family_that_there_is_not() -> None:
    check_family(None), check_family("vjepa2_ac")
    with pytest.raises(ValueError, match="there is no family 'vjepa3' of weights: choose one of ijepa, vjepa"):
        check_family("vjepa3")
