"""Safetensors files: the same bytes for the same tensors, whatever they share."""

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from jepa_lightning.interop.safetensors_file import write_safetensors


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata())


def test_the_order_of_the_tensors_is_no_part_of_the_file(tmp_path: Path) -> None:
    state = {"b": torch.arange(3.0), "a": torch.arange(4), "c": torch.tensor(1.0)}
    write_safetensors(state, tmp_path / "1")
    write_safetensors(dict(reversed(list(state.items()))), tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()
    found = load_file(tmp_path / "1")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())


def test_metadata_is_one_entry(tmp_path: Path) -> None:
    write_safetensors({"a": torch.ones(1)}, tmp_path / "1")
    write_safetensors({"a": torch.ones(1)}, tmp_path / "2", {"jepa_lightning": "{}"})
    assert metadata(tmp_path / "1") == {"format": "pt"}
    assert metadata(tmp_path / "2") == {"jepa_lightning": "{}"}


def shared() -> dict[str, Tensor]:
    whole = torch.arange(6.0)
    return {"whole": whole, "again": whole, "part": whole[2:4]}


TENSORS = {
    "shared": shared,
    "a part of a larger one": lambda: {"a": torch.arange(6.0)[2:4]},
    "transposed": lambda: {"a": torch.arange(6.0).reshape(2, 3).T},
    "repeated": lambda: {"a": torch.ones(1).expand(3)},
    "parameters": lambda: {"a": torch.nn.Parameter(torch.ones(2)), "b": torch.nn.Parameter(torch.ones(2))},
    "empty": lambda: {"a": torch.ones(0), "b": torch.ones(0, 3)},
    "nothing": dict,
}


@pytest.mark.parametrize("case", TENSORS)
def test_tensors_of_any_layout(case: str, tmp_path: Path) -> None:
    state = TENSORS[case]()
    write_safetensors(state, tmp_path / "a")
    found = load_file(tmp_path / "a")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], value) for name, value in state.items())
    size = sum(value.numel() * value.element_size() for value in state.values())
    assert (tmp_path / "a").stat().st_size < size + 500  # no more than is named


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.int8, torch.bool, torch.uint16]
)
def test_types_stay(dtype: torch.dtype, tmp_path: Path) -> None:
    value = torch.tensor([0, 1, 1]).to(dtype)
    write_safetensors({"a": value}, tmp_path / "a")
    found = load_file(tmp_path / "a")["a"]
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), value.view(torch.uint8))
