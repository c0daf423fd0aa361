from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA
from jepa_lightning.cli.main import main

Refused = Callable[..., str]


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


def test_each_form_says_how_it_is_read(source: IJEPA, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    source.save_pretrained("folder")
    monkeypatch.setenv("HOME", str(Path.cwd()))
    said = {}
    for form in ("hf", "timm", "safetensors", "reference", "torch"):
        capsys.readouterr()
        main(["convert", "folder", f"~/{form}", "--to", form])
        said[form] = capsys.readouterr().out.splitlines()[-1].strip()
        place = Path.cwd() / form
        assert place.exists()
        assert repr(str(place)) in said[form]
    assert said["hf"].startswith("transformers.IJepaModel.from_pretrained(")
    assert said["timm"].startswith("timm.create_model(")
    assert said["safetensors"].startswith("IJEPA.from_pretrained(")
    assert said["reference"].startswith("jepa_lightning.interop.load_reference(")
    assert said["torch"].startswith("IJEPA.load_from_checkpoint(")


def test_what_the_reference_has_no_place_for_is_said(tiny_ijepa: Any, tmp_path: Path, capsys: Any) -> None:
    for name, options in (("plain", {}), ("more", {"regularizer": "sigreg", "projector_dim": 16})):
        tiny_ijepa(**options, optimizer="sgd").save_pretrained(tmp_path / name)
        capsys.readouterr()
        main(["convert", str(tmp_path / name), str(tmp_path / f"{name}.pt"), "--to", "reference"])
        said = [line for line in capsys.readouterr().out.splitlines() if "left out" in line]
        assert said == (["  left out: regularizer.projector (the reference has no such network)"] if options else [])


BAD: dict[str, tuple[list[str], str]] = {
    "no form": (["convert", "folder", "out"], "--to"),
    "another form": (["convert", "folder", "out", "--to", "keras"], "to: expected one of"),
    "a folder is there": (["convert", "folder", "folder", "--to", "hf"], "folder is there already"),
    "is there": (["convert", "folder", "reference.pth.tar", "--to", "torch"], "is there already"),
}


@pytest.mark.parametrize("case", BAD)
def test_each_fault_is_one_line_and_nothing_is_written(case: str, refused: Refused) -> None:
    arguments, said = BAD[case]
    assert said in refused(*arguments)


def test_nothing_is_answered_with_an_example(refused: Refused) -> None:
    assert "jepa-lightning convert SRC DST --to hf|timm|safetensors|reference|torch" in refused("convert")


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
