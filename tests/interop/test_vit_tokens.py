"""Class tokens and positions of `transformers` where networks of timm have theirs."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from timm.layers.pos_embed import resample_abs_pos_embed
from torch import Tensor

from jepa_lightning.interop.huggingface_vit_reader import HuggingFaceViT
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.vit_tokens import fit_tokens

WIDTH = 4


def found(kind: str = "vit", size: tuple[int, int] = (16, 16)) -> HuggingFaceViT:
    patches = (size[0] // 8) * (size[1] // 8)
    generator = torch.Generator().manual_seed(0)
    weights = {
        "cls_token": torch.randn(1, 1, WIDTH, generator=generator),
        "pos_embed": torch.randn(1, 1 + patches, WIDTH, generator=generator),
        "norm.bias": torch.ones(WIDTH),
    }
    return HuggingFaceViT(weights, {}, size, 8, 2, 1e-6, {"model_type": kind})


def model(grid: tuple[int, int] = (2, 2), class_token: bool = True, registers: int = 0, in_table: bool = True) -> Any:
    return SimpleNamespace(
        patch_embed=SimpleNamespace(grid_size=grid),
        cls_token=torch.zeros(1, 1, WIDTH) if class_token else None,
        no_embed_class=not in_table,
        num_prefix_tokens=class_token + registers,
    )


def fitted(given: HuggingFaceViT, network: Any) -> tuple[dict[str, Tensor], LoadReport]:
    report = LoadReport("a")
    return fit_tokens(given, network, report), report


def test_a_table_with_the_class_token_stays() -> None:
    given = found()
    state, report = fitted(given, model())
    assert torch.equal(state["pos_embed"], given.weights["pos_embed"])
    assert torch.equal(state["cls_token"], given.weights["cls_token"])
    assert (report.reshaped, report.skipped) == ({}, {})


def test_register_tokens_in_a_table_have_zeros() -> None:
    given = found()
    state, report = fitted(given, model(registers=3))
    table = given.weights["pos_embed"]
    assert torch.equal(state["pos_embed"], torch.cat([table[:, :1], torch.zeros(1, 3, WIDTH), table[:, 1:]], dim=1))
    assert report.reshaped == {"pos_embed": "with zeros for register tokens, which have no positions there"}


def test_a_class_token_takes_up_its_position() -> None:
    given = found()
    state, report = fitted(given, model(in_table=False, registers=2))
    assert torch.equal(state["cls_token"], given.weights["cls_token"] + given.weights["pos_embed"][:, :1])
    assert torch.equal(state["pos_embed"], given.weights["pos_embed"][:, 1:])
    assert list(report.reshaped) == ["cls_token"]


def test_an_encoder_without_a_class_token_leaves_it_out() -> None:
    given = found()
    state, report = fitted(given, model(class_token=False))
    assert "cls_token" not in state
    assert torch.equal(state["pos_embed"], given.weights["pos_embed"][:, 1:])
    assert report.skipped == {"cls_token": "the encoder here has no class token"}


@pytest.mark.parametrize(("kind", "smooth"), [("vit", False), ("dinov2", False), ("dinov2_with_registers", True)])
@pytest.mark.parametrize(("size", "grid"), [((32, 32), (2, 3)), ((16, 64), (4, 4)), ((16, 32), (4, 2))])
def test_positions_of_patches_are_interpolated(
    kind: str, smooth: bool, size: tuple[int, int], grid: tuple[int, int]
) -> None:
    given = found(kind, size)
    state, report = fitted(given, model(grid))
    table = given.weights["pos_embed"]
    there = [size[0] // 8, size[1] // 8]
    expected: Any = resample_abs_pos_embed(table[:, 1:], list(grid), there, num_prefix_tokens=0, antialias=smooth)
    assert torch.equal(state["pos_embed"][:, :1], table[:, :1])
    assert torch.equal(state["pos_embed"][:, 1:], expected)
    old, new = ("x".join(map(str, each)) for each in (there, grid))
    assert report.reshaped["pos_embed"] == f"interpolated for the grid {new}, that of the file is for {old}"


def test_positions_in_half_precision_are_interpolated_in_whole() -> None:
    given = found()
    given.weights["pos_embed"] = given.weights["pos_embed"].bfloat16()
    table = given.weights["pos_embed"].float()
    state, _ = fitted(given, model((3, 3)))
    expected: Any = resample_abs_pos_embed(table[:, 1:], [3, 3], [2, 2], num_prefix_tokens=0, antialias=False)
    assert torch.equal(state["pos_embed"][:, 1:], expected)
    assert not torch.equal(expected, expected.bfloat16().float())


def test_what_was_read_is_not_changed() -> None:
    given = found()
    before = {name: value.clone() for name, value in given.weights.items()}
    fitted(given, model((4, 4), in_table=False))
    assert before.keys() == given.weights.keys()
    assert all(torch.equal(value, given.weights[name]) for name, value in before.items())
