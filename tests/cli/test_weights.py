"""convert, inspect and export through the command line, in one process."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from jepa_lightning import IJEPA
from jepa_lightning.cli.main import main

SIZE = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "patch_size": 8, "image_size": 32, "min_keep": 2}
PREDICTOR = {"predictor_depth": 1, "predictor_dim": 24, "predictor_heads": 3}


@pytest.fixture
def source(tmp_path: Path, monkeypatch: Any) -> IJEPA:
    """A checkpoint in the form of the reference, in the working folder, and the module that it is of."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    module = IJEPA(**SIZE, **PREDICTOR).eval()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    names = {"encoder": "context_encoder", "predictor": "predictor", "target_encoder": "target_encoder"}
    content: dict[str, Any] = {
        entry: {f"module.{name}": value for name, value in getattr(module, ours).state_dict().items()}
        for entry, ours in names.items()
    }
    torch.save({**content, "epoch": 3}, "reference.pth.tar")
    return module


def same(one: Any, other: Any) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_round_through_all_forms_is_the_same_to_the_bit(source: IJEPA, capsys: Any) -> None:
    options = ["--heads", "3", "--predictor_heads", "3"]
    main(["convert", "reference.pth.tar", "a.safetensors", "--to", "safetensors", *options])
    assert "IJEPA.from_pretrained('a.safetensors')" in capsys.readouterr().out
    main(["convert", "a.safetensors", "b.ckpt", "--to", "torch"])
    main(["convert", "b.ckpt", "c.pth.tar", "--to", "reference"])
    main(["convert", "c.pth.tar", "d.safetensors", "--to", "safetensors", *options])
    assert same(IJEPA.from_pretrained("d.safetensors"), source)
    assert same(IJEPA.load_from_checkpoint("b.ckpt"), source)
    assert Path("a.safetensors").read_bytes() == Path("d.safetensors").read_bytes()
    main(["convert", "a.safetensors", "other name.ckpt", "--to", "torch"])
    assert Path("b.ckpt").read_bytes() == Path("other name.ckpt").read_bytes()
    main(["convert", "b.ckpt", "other.pth.tar", "--to", "reference"])
    assert Path("c.pth.tar").read_bytes() == Path("other.pth.tar").read_bytes()
    for name in ("e", "f"):
        main(["convert", "a.safetensors", name, "--to", "hf"])
        main(["convert", "a.safetensors", f"{name}.pth", "--to", "timm", "--which", "context_encoder"])
    assert Path("e.pth").read_bytes() == Path("f.pth").read_bytes()
    files = sorted(path.name for path in Path("e").iterdir())
    assert files == ["config.json", "model.safetensors", "preprocessor_config.json"]
    assert all(Path("e", name).read_bytes() == Path("f", name).read_bytes() for name in files)


def test_inspect_says_what_is_in_each_kind_of_file(source: IJEPA, capsys: Any) -> None:
    source.save_pretrained("folder")
    main(["convert", "folder", "a.safetensors", "--to", "safetensors"])
    main(["convert", "folder", "hf", "--to", "hf"])
    said = {}
    for name in ("reference.pth.tar", "folder", "a.safetensors", "hf"):
        capsys.readouterr()
        main(["inspect", name])
        said[name] = yaml.safe_load(capsys.readouterr().out)
    assert said["reference.pth.tar"]["made by"].startswith("the authors of I-JEPA")
    assert said["reference.pth.tar"]["epoch"] == 3
    own = said["reference.pth.tar"]["networks"]["target_encoder"]
    values = [value.double() for value in source.target_encoder.state_dict().values()]
    assert own["parameters"] == sum(value.numel() for value in values)
    assert own["norm"] == pytest.approx(float(sum(value.square().sum() for value in values)) ** 0.5, rel=1e-5)
    for name in ("folder", "a.safetensors"):
        assert said[name]["class"] == "jepa_lightning.modules.ijepa.IJEPA"
        assert said[name]["options"]["width"] == 48
        assert set(said[name]["networks"]) == {"context_encoder", "target_encoder", "predictor"}
    assert said["hf"]["class"] == "IJepaModel"


def test_inspect_shows_a_run_that_has_diverged(source: IJEPA, capsys: Any) -> None:
    state = source.state_dict()
    state["predictor.predictor_norm.bias"][3] = torch.nan
    torch.save({"state_dict": state, "pytorch-lightning_version": "2.6.0", "global_step": 7}, "diverged.ckpt")
    main(["inspect", "diverged.ckpt"])
    found = yaml.safe_load(capsys.readouterr().out)
    assert found["step"] == 7
    assert found["networks"]["predictor"]["not finite"] == ["predictor.predictor_norm.bias"]


def test_export_prints_the_parity(source: IJEPA, capsys: Any) -> None:
    source.save_pretrained("folder")
    capsys.readouterr()
    main(["export", "folder", "encoder.pt2", "--output", "tokens", "--image_size", "48"])
    said = capsys.readouterr().out
    assert "encoder.pt2: tokens of inputs [batch, 3, 48, 48]" in said
    assert "Outputs of a batch of 3 are within" in said


BAD: dict[str, tuple[list[str], str]] = {
    "no form": (["convert", "folder", "out"], "--to"),
    "another form": (["convert", "folder", "out", "--to", "keras"], "to: expected one of"),
    "no source": (["convert", "nothing", "out", "--to", "hf"], "there is no file nothing"),
    "is there": (["convert", "folder", "reference.pth.tar", "--to", "torch"], "is there already"),
    "no heads": (["convert", "reference.pth.tar", "out", "--to", "torch"], "give heads"),
    "web page": (["convert", "page.pt", "out", "--to", "torch"], "page.pt as weights: it is a web page"),
    "not finite": (["convert", "nan.pt", "out", "--to", "torch", "--heads", "3"], "are not finite"),
    "empty": (["inspect", "empty.pt"], "empty.pt: it is empty"),
    "a folder": (["inspect", "."], "is a folder, but no checkpoint"),
    "nothing to inspect": (["inspect", "none.pt"], "none.pt"),
    "ending": (["export", "folder", "out.txt"], ".onnx is ONNX"),
    "no such folder": (["export", "folder", "none/out.pt2"], "there is no folder none"),
    "class": (["convert", "folder", "out", "--to", "hf", "--model", "Nothing"], "there is no class Nothing"),
}


@pytest.mark.parametrize("case", BAD)
def test_each_fault_is_one_line_and_nothing_is_written(case: str, source: IJEPA, capsys: Any) -> None:
    source.save_pretrained("folder")
    Path("page.pt").write_bytes(b"<html>")
    Path("empty.pt").write_bytes(b"")
    state = {name: torch.full_like(value, torch.nan) for name, value in source.target_encoder.state_dict().items()}
    torch.save({"target_encoder": state}, "nan.pt")
    before = sorted(path.name for path in Path().rglob("*"))
    arguments, said = BAD[case]
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code
    text = capsys.readouterr().err
    assert text.startswith("jepa-lightning: error: ")
    assert said in text
    assert text.count("\n") == 1
    assert sorted(path.name for path in Path().rglob("*")) == before


def test_a_disk_that_is_full_leaves_nothing(source: IJEPA, capsys: Any, monkeypatch: Any) -> None:
    source.save_pretrained("folder")

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jepa_lightning.interop.safetensors_file.save_file", full)
    monkeypatch.setattr(torch, "save", full)
    before = sorted(path.name for path in Path().rglob("*"))
    for form in ("hf", "timm", "safetensors", "reference", "torch"):
        with pytest.raises(SystemExit):
            main(["convert", "folder", "out", "--to", form])
        assert "disk is full" in capsys.readouterr().err
    assert sorted(path.name for path in Path().rglob("*")) == before


def test_code_in_a_file_is_not_run(payload: Any, source: Callable[..., Any], capsys: Any) -> None:
    torch.save({"encoder": payload}, "evil.pt")
    for arguments in (
        ["inspect", "evil.pt"],
        ["convert", "evil.pt", "out", "--to", "hf"],
        ["export", "evil.pt", "o.pt2"],
    ):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "which could run code" in capsys.readouterr().err
