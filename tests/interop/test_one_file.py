"""A module in one safetensors file, with its options in the metadata."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from jepa_lightning import IJEPA
from jepa_lightning.interop.inspecting import describe
from jepa_lightning.interop.one_file import KEY, config_of, write_one_file
from jepa_lightning.interop.reading import read_weights

OWN = {"library_name": "jepa_lightning", "class_path": "jepa_lightning.modules.ijepa.IJEPA", "options": {}}


def test_a_module_comes_back(ijepa: IJEPA, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_one_file(ijepa, path)
    again = IJEPA.from_pretrained(path)
    assert again.hparams == ijepa.hparams
    state = ijepa.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in again.state_dict().items())
    config = config_of(read_weights(path).metadata)
    assert config is not None
    assert config["class_path"] == "jepa_lightning.modules.ijepa.IJEPA"
    assert [place.name for place in tmp_path.iterdir()] == ["a.safetensors"]
    write_one_file(ijepa, tmp_path / "b.safetensors")
    assert path.read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_the_order_in_which_options_were_given_does_not_change_the_file(ijepa: IJEPA, tmp_path: Path) -> None:
    for name, options in (("a", dict(ijepa.hparams)), ("b", dict(reversed(ijepa.hparams.items())))):
        module = IJEPA(**options)
        module.load_state_dict(ijepa.state_dict())
        module.hparams.update({key: module.hparams.pop(key) for key in options})  # as if they had been kept in order
        write_one_file(module, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_weights_that_are_not_finite_are_not_written(tiny_ijepa: Any, tmp_path: Path) -> None:
    module = tiny_ijepa()
    module.predictor.predictor_norm.bias.data[3] = torch.inf
    with pytest.raises(
        ValueError, match=r"cannot use the weights of IJEPA: 1 values of predictor\.predictor_norm\.bias"
    ):
        write_one_file(module, tmp_path / "a.safetensors")
    assert not list(tmp_path.iterdir())


def test_a_link_of_that_name_and_a_folder_are_not_replaced(ijepa: IJEPA, tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "mine")
    for place in (tmp_path, tmp_path / "link"):
        with pytest.raises(ValueError, match="is there already"):
            write_one_file(ijepa, place)
    assert (tmp_path / "mine").read_text() == "mine"


def test_the_configuration_of_a_module() -> None:
    assert config_of({KEY: json.dumps(OWN)}) == OWN


@pytest.mark.parametrize(
    "metadata",
    [
        {}, {"format": "pt"}, *({KEY: text} for text in (
            "", "{", "null", "3", "[]", "{}", '"class_path"', "[" * 100_000, "1" * 5000,
        )),
        *({KEY: json.dumps({**OWN, name: value})} for name, value in (
            ("class_path", None), ("class_path", 3), ("library_name", "timm"),
        )),
    ],
    ids=lambda metadata: str(metadata)[:40],
)  # fmt: skip
def test_other_metadata_is_no_configuration(metadata: dict[str, str]) -> None:
    assert config_of(metadata) is None


@pytest.mark.parametrize("text", ['{"a": 1}', "[" * 100_000])
def test_a_file_with_other_metadata_is_one_of_another_library(text: str, ijepa: IJEPA, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(
        {f"module.{name}": value for name, value in ijepa.context_encoder.state_dict().items()}, path, {KEY: text}
    )
    encoder = IJEPA.from_pretrained(path, heads=3, min_keep=2).context_encoder
    assert torch.equal(encoder.norm.weight, ijepa.context_encoder.norm.weight)
    assert describe(path)["made by"].startswith("torch or safetensors")
    assert len(load_file(path)) == sum(held["tensors"] for held in describe(path)["networks"].values())
