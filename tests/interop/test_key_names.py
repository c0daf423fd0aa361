"""Names of tensors by tables of patterns, numbers in them, and queries, keys and values in one tensor or three.

Names come from files, and may be anything.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.interop.key_names import back, join_qkv, number_behind, rename, split_qkv
from jepa_lightning.interop.start import start_from_

STRANGE = ("x", "", "-1", "+1", "1_0", " 1", "01", "²", "٣", "9" * 5000)
TABLE = (
    ("layer.{i}", "blocks.{i}"),
    ("layer.{i}.attention", "blocks.{i}.attn"),
    ("norm", "last_norm"),
    ("a.b", "dot"),
)
NAMES = ("query", "key", "value")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("layer.3.attention.proj.weight", "blocks.3.attn.proj.weight"),  # the longest start is taken
        ("layer.12.mlp.weight", "blocks.12.mlp.weight"),
        ("layer.0", "blocks.0"),
        ("norm.weight", "last_norm.weight"),
        ("norms.weight", None),  # a start ends where a part of the name ends
        ("layer.x.weight", None),
        ("layer..weight", None),
        ("other.norm.weight", None),
        ("aXb.weight", None),  # a point is a point
        ("", None),
    ],
)
def test_a_name_is_renamed_by_its_longest_start(name: str, found: str | None) -> None:
    assert rename(name, TABLE) == found
    assert rename(name, TABLE[::-1]) == found


def test_a_table_goes_both_ways() -> None:
    for name in ("layer.3.attention.proj.weight", "layer.12.mlp.weight", "norm.bias"):
        there = rename(name, TABLE)
        assert there is not None
        assert rename(there, back(TABLE)) == name


def test_no_table_has_no_name() -> None:
    assert rename("norm", ()) is None


def test_queries_keys_and_values_are_parted_and_joined() -> None:
    state = {
        "0.qkv.weight": torch.arange(18.0).reshape(6, 3),
        "0.qkv.bias": torch.arange(6),
        "norm.bias": torch.ones(1),
    }
    parted = split_qkv(state, NAMES)
    assert sorted(parted) == sorted(
        ["norm.bias", *(f"0.{name}.{kind}" for name in NAMES for kind in ("weight", "bias"))]
    )
    assert parted["0.key.bias"].tolist() == [2, 3]
    assert parted["0.value.weight"].tolist() == [[12, 13, 14], [15, 16, 17]]
    joined = join_qkv(parted, NAMES)
    assert sorted(joined) == sorted(state)
    assert all(torch.equal(joined[name], value) for name, value in state.items())


def test_the_order_of_the_names_counts_and_not_that_of_the_file() -> None:
    state = {f"0.{name}.bias": torch.tensor([float(place)]) for place, name in enumerate(NAMES)}
    assert join_qkv(dict(reversed(list(state.items()))), NAMES)["0.qkv.bias"].tolist() == [0, 1, 2]


def test_names_that_are_alike_stay() -> None:
    state = {"query.weight": torch.ones(1), "0.query.scale": torch.ones(1), "0.my_query.weight": torch.ones(1)}
    assert join_qkv(state, NAMES) == state
    assert join_qkv({}, NAMES) == split_qkv({}, NAMES) == {}


def three(**changes: Any) -> dict[str, Tensor]:
    state = {f"0.{name}.weight": torch.ones(2, 2) for name in NAMES}
    return {**state, **{f"0.{name}.weight": value for name, value in changes.items()}}


@pytest.mark.parametrize("name", NAMES)
def test_one_that_is_missing_is_named(name: str) -> None:
    state = three()
    del state[f"0.{name}.weight"]
    with pytest.raises(ValueError, match=rf"^the weights lack 0\.{name}\.weight\.$"):
        join_qkv(state, NAMES)


@pytest.mark.parametrize(
    "state",
    [
        three(key=torch.ones(3, 2)),
        three(value=torch.tensor(1.0)),
        {f"0.{name}.weight": torch.tensor(1.0) for name in NAMES},
        three(key=torch.ones(2, 2).to(torch.float8_e4m3fn)),
    ],
    ids=["shape", "one number", "numbers", "type"],
)
def test_three_that_do_not_fit_are_refused(state: dict[str, Tensor]) -> None:
    with pytest.raises(ValueError, match=r"have query, key, value of several shapes or types for 0\.qkv\.weight\.$"):
        join_qkv(state, NAMES)


def test_no_tensor_takes_the_place_of_another() -> None:
    with pytest.raises(ValueError, match=r"have 0\.qkv\.weight twice: as one tensor, and as query, key, value"):
        join_qkv({**three(), "0.qkv.weight": torch.ones(6, 2)}, NAMES)


def test_the_number_behind_the_start_of_a_name() -> None:
    assert number_behind("blocks.", "blocks.12.norm1.weight") == 12
    assert number_behind("blocks.", "blocks.0") == 0
    for name in ("block.1", "blocks", "head.blocks.1", "blocks.1x", *(f"blocks.{part}.bias" for part in STRANGE)):
        assert number_behind("blocks.", name) is None


@pytest.mark.parametrize("part", STRANGE)
@pytest.mark.parametrize(
    ("network", "name"),
    [("encoder", "norms_block.{}.weight"), ("predictor", "mask_tokens.{}"), ("predictor", "mask_tokens.0.{}")],
)
def test_a_name_without_a_number_is_unexpected(
    network: str, name: str, part: str, ijepa: IJEPA, reference_file: Callable[..., Path]
) -> None:
    path, name = reference_file(ijepa, "ijepa"), name.format(part)
    content = torch.load(path)
    content[network][f"module.{name}"] = torch.zeros(48)
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"^\S.*$") as error:
        start_from_(IJEPA(**dict(ijepa.hparams)), str(path))
    assert name in str(error.value)
    assert str(path) in str(error.value)


def test_a_depth_needs_no_numbers(reference_file: Callable[..., Path]) -> None:
    options: dict[str, Any] = {
        "encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "patch_size": 8, "image_size": 32,
        "num_frames": 8, "min_keep": 2, "predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3, "rope": True,
        "rope_grid": 16, "levels": (0, 1),
    }  # fmt: skip
    module = VJEPA(**options)
    path = reference_file(module, "vjepa2_1")
    content = torch.load(path)
    for network in ("encoder", "target_encoder"):
        content[network]["module.backbone.blocks.x.norm1.weight"] = torch.zeros(48)
    torch.save(content, path)
    with pytest.raises(ValueError, match=r"blocks\.x\.norm1\.weight"):
        VJEPA.from_pretrained(path, heads=3, levels=(0, 1), image_size=32, num_frames=8, predictor_heads=3, min_keep=2)
