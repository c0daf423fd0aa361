from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from jepa_lightning import IJEPA
from jepa_lightning.cli.main import main

Refused = Callable[..., str]


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


def test_options_of_any_kind_are_shown_and_numbers_are_rounded(source: IJEPA, capsys: Any) -> None:
    options = {"sizes": (2, 3), "set": {1}, "third": 1 / 3, "weights": torch.ones(2), "none": None, 7: True, "no": "no"}
    content = {"state_dict": source.state_dict(), "pytorch-lightning_version": "2.6.0", "hyper_parameters": options}
    torch.save(content, "a.ckpt")
    main(["inspect", "a.ckpt"])
    assert yaml.safe_load(capsys.readouterr().out)["options"] == {
        "sizes": [2, 3], "set": [1], "third": 0.333333, "weights": "Tensor", "none": None, "7": True, "no": "no",
    }  # fmt: skip


def test_the_home_folder_is_found(source: IJEPA, capsys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    main(["inspect", "~/reference.pth.tar"])
    assert yaml.safe_load(capsys.readouterr().out)["file"] == str(Path.cwd() / "reference.pth.tar")


BAD: dict[str, tuple[list[str], str]] = {
    "empty": (["inspect", "empty.pt"], "empty.pt: it is empty"),
    "a folder": (["inspect", "."], "is a folder, but no checkpoint"),
    "nothing to inspect": (["inspect", "none.pt"], "none.pt"),
}


@pytest.mark.parametrize("case", BAD)
def test_each_fault_is_one_line(case: str, refused: Refused) -> None:
    arguments, said = BAD[case]
    assert said in refused(*arguments)


def test_nothing_is_answered_with_an_example(refused: Refused) -> None:
    assert "give a file of weights: jepa-lightning inspect FILE" in refused("inspect")
