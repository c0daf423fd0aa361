"""Files of `torch.save`: the same bytes under any name."""

from pathlib import Path

import pytest
import torch

from jepa_lightning.interop.torch_file import write_torch


def test_the_name_is_no_part_of_the_file(tmp_path: Path) -> None:
    content = {"a": torch.arange(3), "b": [1, "two", None]}
    write_torch(content, tmp_path / "first.ckpt")
    write_torch(content, tmp_path / "another name.pt")
    assert (tmp_path / "first.ckpt").read_bytes() == (tmp_path / "another name.pt").read_bytes()
    found = torch.load(tmp_path / "first.ckpt", weights_only=True)
    assert torch.equal(found["a"], content["a"])
    assert found["b"] == content["b"]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_torch({}, tmp_path / "none" / "a.pt")
