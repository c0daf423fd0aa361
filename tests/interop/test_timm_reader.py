"""Networks and folders of timm that are an I-JEPA's."""

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from jepa_lightning import IJEPA
from jepa_lightning.interop.timm_reader import is_ijepa, is_timm_name, of_network, open_timm_folder

TINY = {"embed_dim": 48, "depth": 2, "num_heads": 3}
PLAIN = {"class_token": False, "global_pool": "avg", "fc_norm": False, "patch_size": 8, "img_size": (32, 48)}
SAID = {
    "architecture": "vit_tiny_patch16_224",
    "model_args": {"num_heads": 3},
    "pretrained_cfg": {"input_size": [3, 32, 48]},
}


def built(**options: Any) -> Any:
    return timm.create_model("vit_tiny_patch16_224", **{**TINY, **PLAIN, **options})


@pytest.fixture(scope="module")
def written(tmp_path_factory: Any) -> Path:
    """A folder of a network with a classifier."""
    folder = Path(tmp_path_factory.mktemp("timm"))
    save_file(built(num_classes=5).state_dict(), folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(SAID))
    return folder


@pytest.mark.parametrize(
    ("source", "found"),
    [("timm:vit", True), ("timm:", True), ("timm", False), ("", False), (Path("timm:vit"), False), (3, False)],
)
def test_names_of_timm(source: Any, found: bool) -> None:
    assert is_timm_name(source) == found


def test_a_network_has_its_heads_size_and_eps() -> None:
    network = built(num_classes=0)
    found = of_network(network, "timm:a")
    assert (found.family, found.heads, found.image_size, found.eps, found.alone) == ("ijepa", 3, (32, 48), 1e-6, True)
    state = network.state_dict()
    assert found.networks["encoder"].keys() == state.keys()
    assert not any(value.requires_grad for value in found.networks["encoder"].values())


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"class_token": True}, "cls_token"),
        ({"reg_tokens": 2}, "reg_token"),
        ({"init_values": 0.1}, r"blocks\.0\.ls1\.gamma"),
    ],
)
def test_parts_that_no_ijepa_has(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=rf"^timm:a has {name}, which .* with IJEPA\('timm:a', pretrained=True\)\.$"):
        of_network(built(**options), "timm:a")


def test_a_network_that_is_no_vision_transformer() -> None:
    with pytest.raises(ValueError, match=r"^timm:a is a ResNet, and no Vision Transformer as an I-JEPA has\.$"):
        of_network(timm.create_model("resnet10t"), "timm:a")


def test_a_folder_leaves_its_head_out_and_says_so(written: Path) -> None:
    found = open_timm_folder(written, SAID)
    assert (found.heads, found.image_size, found.path, found.source) == (3, (32, 48), written, str(written))
    assert not any(name.startswith("head.") for name in found.networks["encoder"])
    assert found.skipped == {"head.weight": "a head", "head.bias": "a head"}
    module = IJEPA.from_pretrained(written, predictor_depth=1, predictor_dim=24, min_keep=1)
    assert module.image_size == (32, 48)
    assert torch.equal(module.context_encoder.norm.bias, found.networks["encoder"]["norm.bias"])


@pytest.mark.parametrize("name", ["model_args", "pretrained_cfg"])
@pytest.mark.parametrize("value", [None, {}, ""])
def test_a_folder_that_says_less(name: str, value: Any, written: Path) -> None:
    found = open_timm_folder(written, {**SAID, name: value})
    assert (found.heads, found.image_size) == ((None, (32, 48)) if name == "model_args" else (3, None))


@pytest.mark.parametrize("value", ["x", None, True, 1.5, 0, -3, 10**9])
def test_heads_that_are_none(value: Any, written: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot use .*: its num_heads is .*, and a whole number"):
        open_timm_folder(written, {**SAID, "model_args": {"num_heads": value}})


@pytest.mark.parametrize("name", ["model_args", "pretrained_cfg"])
@pytest.mark.parametrize("value", [3, "x", [1]])
def test_entries_that_are_no_objects(name: str, value: Any, written: Path) -> None:
    with pytest.raises(ValueError, match=r"model_args or pretrained_cfg of its config\.json is no JSON object"):
        open_timm_folder(written, {**SAID, name: value})


@pytest.mark.parametrize(
    "value",
    [
        5,
        "abc",
        [3],
        [3, 32],
        [3, 32, 32, 32],
        [3, "a", "b"],
        [3, 32.0, 32.0],
        [3, -32, -32],
        [3, 10**9, 32],
        [3, 0, 32],
    ],
)
def test_sizes_that_are_none(value: Any, written: Path) -> None:
    with pytest.raises(
        ValueError, match=r"^cannot use .*: its input_size is .*, and channels, height and width should be"
    ):
        open_timm_folder(written, {**SAID, "pretrained_cfg": {"input_size": value}})


def test_which_names_are_of_an_ijepa() -> None:
    assert is_ijepa("timm:vit_huge_patch14_gap_224.in1k_ijepa")
    assert not is_ijepa("timm:vit_small_patch14_dinov2.lvd142m")
    with pytest.raises(ValueError, match=r"has cls_token, which the encoder of an I-JEPA does not have"):
        of_network(timm.create_model("vit_tiny_patch16_224", **TINY), "timm:vit_tiny_patch16_224")
