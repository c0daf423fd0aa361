"""Files that are no weights, or hold more: one line each, and nothing is run."""

import argparse
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from jepa_lightning import IJEPA
from jepa_lightning.interop import load_reference
from jepa_lightning.interop.reading import read_weights

BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "web page": (b"\n <!DOCTYPE html><html>404</html>", "it is a web page"),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "a pointer of Git LFS"),
    "compressed": (b"\x1f\x8b\x08\x00" + bytes(40), "it is compressed"),
    "old": (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "of torch before 1.6"),
    "text": (b"weights", "truncated, or not a checkpoint"),
    "truncated archive": (b"PK\x03\x04" + bytes(40), "truncated, or not a checkpoint"),
    "truncated safetensors": ((100).to_bytes(8, "little") + b'{"a": ', "truncated or no safetensors file"),
    "safetensors of another size": (
        (60).to_bytes(8, "little") + b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60) + b"123",
        "truncated or no safetensors file",
    ),
    "safetensors with a header that fills memory": ((1 << 40).to_bytes(8, "little") + b'{"a": 1}', "truncated or no"),
}


@pytest.mark.parametrize("name", BAD)
def test_files_that_are_no_weights(name: str, tmp_path: Path) -> None:
    content, said = BAD[name]
    path = tmp_path / "wrong.pt"
    path.write_bytes(content)
    for read in (load_reference, IJEPA.from_pretrained):
        with pytest.raises(ValueError, match=said) as error:
            read(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


def test_folders_and_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is a folder, but not one of weights: it has no config\.json"):
        load_reference(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"there is no file .*none"):
        load_reference(tmp_path / "none.pt")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"has no weights: no model\.safetensors"):
        read_weights(tmp_path)
    for name, said in (("../out.safetensors", "outside of its folder"), ("gone.safetensors", "lacks its piece gone")):
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(ValueError, match=said):
            read_weights(tmp_path)


def test_pieces_are_joined(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    for name in "ab":
        save_file({name: torch.ones(2)}, tmp_path / f"{name}.safetensors")
    index = {"weight_map": {"a": "a.safetensors", "b": "b.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert sorted(read_weights(tmp_path).content) == ["a", "b"]


@pytest.mark.parametrize("where", ["top", "namespace", "legacy folder"])
def test_code_in_a_file_is_named_and_not_run(where: str, payload: Any, tmp_path: Path) -> None:
    path = tmp_path / "evil.pt"
    if where == "legacy folder":
        (tmp_path / "config.json").write_text('{"model_type": "ijepa"}')
        torch.save({"a": payload}, tmp_path / "pytorch_model.bin")
        path = tmp_path
    else:
        hidden = argparse.Namespace(encoder=payload) if where == "namespace" else payload
        torch.save({"encoder": {"a": torch.ones(1)}, "opt": hidden}, path)
    for read in (load_reference, IJEPA.from_pretrained):
        with pytest.raises(ValueError, match=r"more than plain data \((posix|nt)\.mkdir\), which could run code"):
            read(path)


@pytest.mark.filterwarnings("ignore:.*jit")
def test_a_program_is_no_file_of_weights(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), tmp_path / "a.pt")
    with pytest.raises(ValueError, match=r"a program of TorchScript"):
        read_weights(tmp_path / "a.pt")
