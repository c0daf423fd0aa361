"""What a file of weights holds, of any library, without running anything in it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from jepa_lightning import IJEPA
from jepa_lightning.interop.inspecting import describe
from jepa_lightning.interop.one_file import write_one_file
from jepa_lightning.interop.own_checkpoint import write_checkpoint

VIT = {"model_type": "vit"}
LIGHTNING = {"pytorch-lightning_version": "2.6.0", "state_dict": {"a.b": torch.ones(2)}}


def of(content: Any, folder: Path) -> dict[str, Any]:
    torch.save(content, folder / "a.pt")
    return describe(folder / "a.pt")


def test_a_network_is_measured(tmp_path: Path) -> None:
    state = {"a.w": torch.tensor([3.0, 4.0]), "a.n": torch.ones(3, dtype=torch.int32), "b": torch.ones(2, 2).half()}
    found = of(state, tmp_path)
    assert found["networks"] == {
        "a": {"tensors": 2, "parameters": 5, "norm": 5.0, "types": "float32, int32"},
        "b": {"tensors": 1, "parameters": 4, "norm": 2.0, "types": "float16"},
    }
    assert found["made by"] == "torch or safetensors, without a word of by which library"
    assert set(found) == {"made by", "networks"}


@pytest.mark.parametrize("form", ["checkpoint", "one file", "folder"])
def test_modules_of_this_package(form: str, ijepa: IJEPA, tmp_path: Path) -> None:
    path = tmp_path / "given"
    if form == "folder":
        ijepa.save_pretrained(path)
    else:
        (write_checkpoint if form == "checkpoint" else write_one_file)(ijepa, path)
    found = describe(path)
    assert found["made by"].startswith("jepa_lightning ")
    assert found["class"] == "jepa_lightning.modules.ijepa.IJEPA"
    assert set(found["networks"]) == {"context_encoder", "target_encoder", "predictor"}
    assert sum(each["tensors"] for each in found["networks"].values()) == len(ijepa.state_dict())
    assert found["options"]["predictor_dim"] == 24
    assert (found.get("step"), found.get("epoch")) == ((0, 0) if form == "checkpoint" else (None, None))


def test_a_file_of_the_reference(ijepa: IJEPA, reference_file: Any) -> None:
    found = describe(reference_file(ijepa, "ijepa"))
    assert found["made by"] == "the authors of I-JEPA and V-JEPA, or in their form"
    assert list(found["networks"]) == ["encoder", "target_encoder", "predictor"]
    assert found["epoch"] == 3
    assert found["also holds"] == ["batch_size", "epoch", "loss", "lr", "opt", "scaler", "world_size"]


def test_one_network_is_not_what_else_is_held(tmp_path: Path) -> None:
    found = of({"encoder": {"a": torch.ones(2)}, "epoch": 1}, tmp_path)
    assert list(found["networks"]) == ["encoder"]
    assert found["also holds"] == ["epoch"]


def test_probes_are_numbered(tmp_path: Path) -> None:
    found = of({"classifiers": [{"a": torch.ones(1)}, {"a": torch.ones(2)}]}, tmp_path)
    assert {name: each["parameters"] for name, each in found["networks"].items()} == {
        "classifiers 0": 1, "classifiers 1": 2,
    }  # fmt: skip


def test_names_that_are_no_text(tmp_path: Path) -> None:
    found = of({(1, 2): torch.ones(1), 3: {4: torch.ones(1)}, b"x": 5}, tmp_path)
    assert list(found["networks"]) == ["(1, 2)", "3"]
    assert found["also holds"] == ["b'x'"]


@pytest.mark.parametrize(
    ("config", "made_by", "cls"),
    [
        ({**VIT, "transformers_version": "5.0", "architectures": ["ViTModel"]}, "transformers 5.0", "ViTModel"),
        ({**VIT, "architectures": []}, "transformers", None),
        ({**VIT, "architectures": "ViTModel"}, "transformers", None),
        ({"a": 1}, "torch or safetensors, without a word of by which library", None),
    ],
)  # fmt: skip
def test_folders_say_what_made_them(config: Any, made_by: str, cls: Any, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**config, "_private": 1}))
    save_file({"a.b": torch.ones(1)}, tmp_path / "model.safetensors")
    found = describe(tmp_path)
    assert (found["made by"], found.get("class")) == (made_by, cls)
    assert found["options"] == config


@pytest.mark.parametrize(
    ("value", "norm", "wrong"),
    [
        (torch.tensor([float("nan"), 1.0]), "nan", True),
        (torch.tensor([float("inf"), 1.0]), "inf", True),
        (torch.tensor([3e38, 3e38]), "4.24264e+38", False),  # whose squares are no float32
        (torch.ones(4).to(torch.float8_e5m2), "2", False),
        (torch.tensor([60000.0]).half(), "60000", False),
        (torch.ones(0), "0", False),
        (torch.eye(4).to_sparse(), "2", False),
        (torch.ones(2) > 0, "0", False),
    ],
)  # fmt: skip
def test_values_of_any_type(value: Any, norm: str, wrong: bool, tmp_path: Path) -> None:
    (network,) = of({"a.b": value}, tmp_path)["networks"].values()
    assert f"{network['norm']:g}" == norm
    assert network.get("not finite") == (["a.b"] if wrong else None)


@pytest.mark.filterwarnings("ignore:Sparse")
def test_compressed_rows_are_measured(tmp_path: Path) -> None:
    (network,) = of({"a.b": torch.eye(4).to_sparse_csr()}, tmp_path)["networks"].values()
    assert network["norm"] == 2.0


def test_tensors_without_values_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^cannot use .*a\.pt: a\.b is without values\.$"):
        of({"a.b": torch.ones(2, device="meta")}, tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (3, "holds one value of type int, and no weights"),
        ([torch.ones(1)], "holds one value of type list, and no weights"),
        ({}, "holds an empty dict, and no weights"),
        ({"a": 1, 2: {}}, "holds a, 2, and no weights"),
        *(({**LIGHTNING, "hyper_parameters": value}, "is damaged: its options are of type") for value in (3, None, [])),
    ],
)
def test_what_holds_no_weights(content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=said) as error:
        of(content, tmp_path)
    assert "\n" not in str(error.value)


def test_a_checkpoint_of_lightning_of_another_library(tmp_path: Path) -> None:
    found = of({**LIGHTNING, "global_step": 5, "hyper_parameters": {"lr": 1, "_private": 2}}, tmp_path)
    assert found["made by"] == "Lightning 2.6.0"
    assert (found["step"], found["options"]) == (5, {"lr": 1})
    assert "class" not in found
    assert found["also holds"] == ["global_step", "hyper_parameters", "pytorch-lightning_version"]


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        describe(tmp_path / "none.pt")
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(FileNotFoundError):
        describe(tmp_path / "link")
