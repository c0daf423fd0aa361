"""What a source is, without loading it."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.interop.one_file import write_one_file
from jepa_lightning.interop.own_checkpoint import write_checkpoint
from jepa_lightning.interop.published import PUBLISHED
from jepa_lightning.interop.sniff import method_of, parts_of

OWN = {"library_name": "jepa_lightning", "class_path": "my.Class"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.download_url_to_file", lambda *_, **__: pytest.fail("it is downloaded"))


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_names(name: str) -> None:
    assert method_of(name) == ("IJEPA" if name.startswith("ijepa") else "VJEPA")


def test_networks_of_timm() -> None:
    assert method_of("timm:vit_tiny_patch16_224") == "IJEPA"


@pytest.mark.parametrize(
    ("config", "found"),
    [(OWN, None), ({"model_type": "vit"}, "IJEPA"), ({"model_type": "dinov2_with_registers"}, "IJEPA")],
)
def test_folders_by_their_configuration(config: dict[str, Any], found: str | None) -> None:
    Path("given").mkdir()
    Path("given/config.json").write_text(json.dumps(config))
    assert method_of("given") == found
    assert method_of(Path("given")) == found
    assert method_of("~/given") == found


def test_what_is_on_the_disk_comes_before_a_published_name() -> None:
    Path("vjepa2_vit_large").mkdir()
    Path("vjepa2_vit_large/config.json").write_text(json.dumps(OWN))
    assert method_of("vjepa2_vit_large") is None


def test_a_folder_without_a_configuration_is_one_of_shards() -> None:
    Path("given").mkdir()
    assert method_of("given") is None


@pytest.mark.parametrize("folder", ["", "~/"])
def test_files_of_this_package_name_their_class(folder: str, ijepa: IJEPA) -> None:
    write_checkpoint(ijepa, Path("a.ckpt"))
    write_one_file(ijepa, Path("a.safetensors"))
    assert method_of(f"{folder}a.ckpt") is None
    assert method_of(f"{folder}a.safetensors") is None


@pytest.mark.parametrize("folder", ["", "~/"])
def test_files_of_the_reference_by_their_tensors(
    folder: str, ijepa: IJEPA, vjepa: VJEPA, vjepa2: VJEPA, reference_file: Any
) -> None:
    for module, family, found in ((ijepa, "ijepa", "IJEPA"), (vjepa, "vjepa", "VJEPA"), (vjepa2, "vjepa2", "VJEPA")):
        reference_file(module, family).rename("a.pt")
        Path("link.pt").unlink(missing_ok=True)
        Path("link.pt").symlink_to("a.pt")
        assert method_of(f"{folder}a.pt") == found
        assert method_of(Path(f"{folder}link.pt")) == found


def test_a_repository_of_the_hub(ijepa: IJEPA, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("fetched").mkdir()
    Path("fetched/config.json").write_text(json.dumps(OWN))
    monkeypatch.setattr("jepa_lightning.interop.sniff.hub_folder", lambda name: Path("fetched"))
    assert method_of("owner/name") is None
    write_huggingface(ijepa, Path("other"))
    monkeypatch.setattr("jepa_lightning.interop.sniff.hub_folder", lambda name: Path("other"))
    assert method_of("owner/name") == "IJEPA"


@pytest.mark.parametrize("source", ["none.pt", "~/none.pt", "none", "", "\0", "a" * 300])
def test_what_is_not_there(source: str) -> None:
    if source == "":  # the folder at hand
        assert method_of(source) is None
        return
    with pytest.raises((FileNotFoundError, OSError, ValueError)) as error:
        method_of(source)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("content", [3, [], {}, {"a": 1}, torch.ones(2), None])
def test_what_is_no_file_of_weights(content: Any) -> None:
    torch.save(content, "a.pt")
    with pytest.raises(ValueError, match=r"a\.pt"):
        method_of("a.pt")


def test_parts_are_what_stands_before_the_first_point() -> None:
    names = ["a.b.c", "b.a", "a.d", "c", ".x"]
    assert parts_of(dict.fromkeys(names)) == {"a": ["a.b.c", "a.d"], "b": ["b.a"], "c": ["c"], "": [".x"]}
    assert parts_of({}) == {}
