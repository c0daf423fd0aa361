"""Checkpoints of weights and options, and of which class they are."""

from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA, JEPAModule, SimCLR
from jepa_lightning.interop.own_checkpoint import class_of_checkpoint, is_checkpoint, write_checkpoint

LIGHTNING = {"pytorch-lightning_version": "2.6.0", "state_dict": {}}


def test_a_module_comes_back(ijepa: IJEPA, tmp_path: Path) -> None:
    assert write_checkpoint(ijepa, tmp_path / "a.ckpt") is False
    assert is_checkpoint(torch.load(tmp_path / "a.ckpt", weights_only=True))
    again = IJEPA.load_from_checkpoint(tmp_path / "a.ckpt")
    assert again.hparams == ijepa.hparams
    assert all(torch.equal(value, ijepa.state_dict()[name]) for name, value in again.state_dict().items())
    assert class_of_checkpoint(JEPAModule, tmp_path / "a.ckpt") is IJEPA
    write_checkpoint(ijepa, tmp_path / "b.ckpt")
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()


@pytest.mark.parametrize("content", [None, 3, [], {}, {"state_dict": {}}, {"pytorch-lightning_version": "2.6.0"}])
def test_what_is_no_checkpoint(content: Any) -> None:
    assert not is_checkpoint(content)


def test_weights_that_are_not_finite_are_not_written(tiny_ijepa: Any, tmp_path: Path) -> None:
    module = tiny_ijepa()
    module.context_encoder.norm.bias.data.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"cannot use the weights of IJEPA: 48 values of context_encoder\.norm\.bias"):
        write_checkpoint(module, tmp_path / "a.ckpt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "source",
    [
        None, "none.pt", "", LIGHTNING,
        {"state_dict": {"backbone.conv1.weight": torch.ones(1)}},  # of another library
        {"encoder": {"patch_embed.proj.weight": torch.ones(4, 3, 2, 2)}},  # of the reference, without an optimizer
    ],
    ids=["none", "no file", "folder", "checkpoint", "another library", "reference"],
)  # fmt: skip
def test_a_run_cannot_be_resumed_from_weights_alone(
    source: Any, ijepa: IJEPA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if isinstance(source, dict):
        torch.save(source, "source.pt")
        source = "source.pt"
    assert write_checkpoint(ijepa, Path("a.ckpt"), source) is False
    assert "loops" not in torch.load("a.ckpt", weights_only=True)


def test_a_run_of_the_reference_can_be_resumed(
    ijepa: IJEPA, reference_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its parameters have numbers: 10 decayed ones of the encoder, 8 of the predictor, and 19 and 12 others."""
    sizes, numbers = (10, 8, 19, 12), iter(range(49))
    states: dict[int, Any] = {number: {"step": torch.tensor(7.0)} for number in range(1, 49)}
    groups = [{"params": [next(numbers) for _ in range(size)], "lr": 0.1} for size in sizes]
    source = reference_file(ijepa, "ijepa", opt={"state": states, "param_groups": groups})
    monkeypatch.setenv("HOME", str(source.parent))
    assert write_checkpoint(ijepa, tmp_path / "a.ckpt", f"~/{source.name}") is True
    content = torch.load(tmp_path / "a.ckpt", weights_only=True)
    assert (content["epoch"], content["global_step"]) == (2, 7)


@pytest.mark.parametrize(
    ("changes", "cls", "found"),
    [
        ({"made_by": "jepa_lightning.modules.ijepa.IJEPA"}, JEPAModule, IJEPA),
        ({"hyper_parameters": {"_class_path": "jepa_lightning.modules.simclr.SimCLR"}}, JEPAModule, SimCLR),
        ({}, IJEPA, IJEPA),
        ({"made_by": "not.imported.Class"}, IJEPA, IJEPA),
        ({"made_by": 3}, IJEPA, IJEPA),
    ],
)
def test_the_class_is_the_one_that_the_checkpoint_names(
    changes: dict[str, Any], cls: Any, found: Any, tmp_path: Path
) -> None:
    torch.save({**LIGHTNING, **changes}, tmp_path / "a.ckpt")
    assert class_of_checkpoint(cls, tmp_path / "a.ckpt") is found


@pytest.mark.parametrize(
    ("changes", "cls", "said"),
    [
        ({}, JEPAModule, r"does not say of which class it is \(made_by\): load it with that class"),
        ({"made_by": "not.imported.Class"}, JEPAModule, r"of the class not\.imported\.Class, which is not imported"),
        ({"made_by": "jepa_lightning.modules.ijepa.IJEPA"}, SimCLR, r"is a checkpoint of .*IJEPA, not of .*SimCLR"),
        *(({"hyper_parameters": value}, IJEPA, "its hyper_parameters is a") for value in (3, None, [])),
        *(({"state_dict": value}, IJEPA, "its state_dict is a") for value in (3, None, [])),
        ({"pytorch-lightning_version": 3}, IJEPA, "its pytorch-lightning_version is 3"),
    ],
)
def test_a_checkpoint_that_is_damaged_or_of_another_class(
    changes: dict[str, Any], cls: Any, said: str, tmp_path: Path
) -> None:
    torch.save({**LIGHTNING, **changes}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=said):
        class_of_checkpoint(cls, tmp_path / "a.ckpt")


@pytest.mark.parametrize("options", [3, None, [], "x"])
def test_options_that_are_no_dict_are_one_line(options: Any, tmp_path: Path) -> None:
    torch.save({**LIGHTNING, "hyper_parameters": options}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt is damaged: its hyper_parameters is a"):
        IJEPA.from_pretrained(tmp_path / "a.ckpt")


def test_names_that_are_no_text_are_one_line(tmp_path: Path) -> None:
    torch.save({**LIGHTNING, "state_dict": {3: torch.ones(1)}}, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"a\.ckpt is damaged: 3 in its state_dict is not the name of a tensor\."):
        IJEPA.from_pretrained(tmp_path / "a.ckpt")
