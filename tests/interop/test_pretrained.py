import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import ModelHubMixin
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning import IJEPA, VJEPA, JEPAModule, SimCLR
from jepa_lightning.callbacks import StartFrom
from jepa_lightning.interop import load_pretrained, load_reference, reading
from jepa_lightning.interop.start_own import own_state
from jepa_lightning.nn import TimmViT

Write = Callable[..., Path]
TIMM = {"embed_dim": 48, "depth": 2, "num_heads": 3, "patch_size": 8}


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


def test_a_folder_brings_the_same_module_back(vjepa2: VJEPA, tmp_path: Path) -> None:
    vjepa2.save_pretrained(tmp_path / "model")
    assert {path.name for path in tmp_path.iterdir()} == {"model"}
    assert {path.name for path in (tmp_path / "model").iterdir()} == {"README.md", "config.json", "model.safetensors"}
    again = VJEPA.from_pretrained(tmp_path / "model")
    assert equal(again, vjepa2)
    assert again.hparams == vjepa2.hparams
    assert not again.training
    assert isinstance(again, ModelHubMixin)
    assert type(JEPAModule.from_pretrained(tmp_path / "model")) is VJEPA
    first = (tmp_path / "model" / "model.safetensors").read_bytes()
    again.save_pretrained(tmp_path / "model")
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == first
    with pytest.raises(ValueError, match=r"is a checkpoint of .*VJEPA, not of .*IJEPA: load it as VJEPA"):
        IJEPA.from_pretrained(tmp_path / "model")


def test_an_encoder_of_timm_and_a_two_view_method_too(tmp_path: Path) -> None:
    encoder = TimmViT("vit_tiny_patch16_224", (32, 32), options=TIMM)
    module = IJEPA(encoder=encoder, image_size=32, predictor_depth=1, predictor_dim=24, predictor_heads=3)
    module.save_pretrained(tmp_path / "timm")
    assert equal(IJEPA.from_pretrained(tmp_path / "timm"), module)
    pair = SimCLR("resnet10t", image_size=32)
    pair.save_pretrained(tmp_path / "pair")
    assert equal(SimCLR.from_pretrained(tmp_path / "pair"), pair)


def test_weights_of_a_file_are_not_shared_by_the_two_encoders(ijepa: IJEPA, tmp_path: Path) -> None:
    torch.save({"encoder": ijepa.context_encoder.state_dict()}, tmp_path / "encoder.pt")
    module, report = load_pretrained(IJEPA, tmp_path / "encoder.pt", {"heads": 3, "predictor_dim": 24})
    assert equal(module.context_encoder, module.target_encoder)
    with torch.no_grad():
        module.context_encoder.norm.bias.add_(1)
    assert not equal(module.context_encoder, module.target_encoder)
    assert all(not parameter.requires_grad for parameter in module.target_encoder.parameters())
    assert not any(parameter.is_meta for parameter in module.parameters())
    assert report.notes == [
        "target_encoder starts as encoder, since the file has no other",
        "the predictor starts anew, since the file has none for this module",
    ]


@pytest.mark.parametrize("family", ["ijepa", "vjepa", "vjepa2"])
def test_a_module_of_a_file_trains(
    family: str, request: Any, reference_file: Write, quiet_trainer: Callable[..., Any], shapes: Any
) -> None:
    given: Any = request.getfixturevalue(family)
    module = type(given).from_pretrained(
        reference_file(given, family), heads=3, predictor_heads=given.predictor_heads, min_keep=2,
        **({} if family == "ijepa" else {"image_size": 32, "num_frames": 8}),
    )  # fmt: skip
    assert equal(module.context_encoder, given.context_encoder)
    assert equal(module.target_encoder, given.target_encoder)
    pipeline = module.pipeline()
    size = (3, 40, 40) if family == "ijepa" else (8, 3, 40, 40)
    videos = [torch.randint(0, 256, size, dtype=torch.uint8) for _ in range(4)]
    loader = torch.utils.data.DataLoader(
        [(pipeline.transform(video), 0) for video in videos], batch_size=4, collate_fn=pipeline.collate
    )
    before = {name: value.clone() for name, value in module.state_dict().items()}
    quiet_trainer(max_steps=1).fit(module, loader)
    after = module.state_dict()
    assert any(not torch.equal(after[name], value) for name, value in before.items() if name.startswith("target"))
    assert all(after[name].isfinite().all() for name in before)


def test_a_folder_that_cannot_be_written_is_left_as_it_was(ijepa: IJEPA, tmp_path: Path, monkeypatch: Any) -> None:
    ijepa.save_pretrained(tmp_path / "old")
    before = {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()}

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("jepa_lightning.interop.safetensors_file.save_file", full)
    for name in ("old", "new"):
        with pytest.raises(OSError, match=r"No space"):
            ijepa.save_pretrained(tmp_path / name)
    assert {path.name: path.read_bytes() for path in (tmp_path / "old").iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("replaced", range(4))
def test_a_kill_while_a_folder_is_replaced_leaves_no_mixture(
    replaced: int, ijepa: IJEPA, tmp_path: Path, monkeypatch: Any
) -> None:
    place, replace, calls = tmp_path / "model", os.replace, []
    new = IJEPA(**{**dict(ijepa.hparams), "lr": 0.5})
    with torch.no_grad():
        new.predictor.mask_token.add_(1)
    ijepa.save_pretrained(place)
    (place / "README.md").write_text("mine")
    (place / "notes").write_text("mine")

    def killed(*arguments: Any) -> None:
        if len(calls) == replaced:
            raise KeyboardInterrupt
        calls.append(arguments)
        replace(*arguments)

    with monkeypatch.context() as kill:
        kill.setattr("jepa_lightning.interop.folders.os.replace", killed)
        if replaced < 3:
            with pytest.raises(KeyboardInterrupt):
                new.save_pretrained(place)
        else:
            new.save_pretrained(place)
    if 0 < replaced < 3:
        for read in (IJEPA.from_pretrained, load_reference, own_state):
            with pytest.raises(ValueError, match=r"model is not whole: .* save to it again\.$"):
                read(place)
        new.save_pretrained(place)
    found = IJEPA.from_pretrained(place)
    assert equal(found, new if replaced else ijepa)
    assert found.hparams["lr"] == (new if replaced else ijepa).hparams["lr"]
    assert {path.name for path in place.iterdir()} == {"README.md", "config.json", "model.safetensors", "notes"}
    assert (place / "README.md").read_text() == (place / "notes").read_text() == "mine"


def test_a_folder_that_is_replaced_while_it_is_read_is_refused(ijepa: IJEPA, tmp_path: Path, monkeypatch: Any) -> None:
    place, new = tmp_path / "model", IJEPA(**{**dict(ijepa.hparams), "lr": 0.5})
    ijepa.save_pretrained(place)

    def slow(path: Path) -> bytes:
        monkeypatch.undo()
        new.save_pretrained(place)
        return reading._start(path)

    monkeypatch.setattr("jepa_lightning.interop.reading._start", slow)
    with pytest.raises(ValueError, match=r"model was replaced while it was read: read it again"):
        IJEPA.from_pretrained(place)
    assert equal(IJEPA.from_pretrained(place), new)


@pytest.mark.parametrize("files", [{"config.json": "{}"}, {"config.json": "{"}, {"model.safetensors": "theirs"}])
def test_files_of_another_origin_are_not_replaced(files: dict[str, str], ijepa: IJEPA, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=rf"holds a {next(iter(files))} that save_pretrained has not written"):
        ijepa.save_pretrained(tmp_path)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "is not JSON"),
        ("[]", "is not a JSON object"),
        ('{"library_name": "jepa_lightning", "class_path": "jepa_lightning.modules.ijepa.IJEPA"}', "has no options"),
        ('{"model_type": "bert"}', "a model of kind 'bert', which is not read here"),
    ],
)
def test_configurations_that_are_none(config: str, said: str, ijepa: IJEPA, tmp_path: Path) -> None:
    ijepa.save_pretrained(tmp_path / "model")
    (tmp_path / "model" / "config.json").write_text(config)
    with pytest.raises(ValueError, match=said):
        IJEPA.from_pretrained(tmp_path / "model")


def test_a_run_starts_from_a_folder_and_from_a_file_of_the_reference(
    ijepa: IJEPA, reference_file: Write, quiet_trainer: Any, shapes: Any, tmp_path: Path
) -> None:
    ijepa.save_pretrained(tmp_path / "model")
    for source in (tmp_path / "model", reference_file(ijepa, "ijepa")):
        module = IJEPA(**dict(ijepa.hparams))
        trainer = quiet_trainer(max_steps=1, callbacks=[StartFrom(str(source))], limit_train_batches=0)
        trainer.fit(module, shapes())
        assert equal(module, ijepa)
        module = IJEPA(**{**dict(ijepa.hparams), "start_from": str(source)})
        trainer = quiet_trainer(max_steps=1, limit_train_batches=0)
        trainer.fit(module, shapes())
        assert equal(module, ijepa)
    # what is loaded has its own weights, and does not start anew
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    assert IJEPA.load_from_checkpoint(tmp_path / "last.ckpt").start_from is None
    again = IJEPA(**{**dict(ijepa.hparams), "start_from": "nowhere"})
    quiet_trainer(max_steps=1, limit_train_batches=0).fit(again, shapes(), ckpt_path=tmp_path / "last.ckpt")
    assert equal(again, ijepa)
    with pytest.raises(MisconfigurationException, match=r"start_from: there is no nowhere"):
        quiet_trainer(max_steps=1).fit(again, shapes())


def test_classes_without_the_networks_of_a_file(ijepa: IJEPA, reference_file: Write) -> None:
    for cls in (SimCLR, JEPAModule, VJEPA):
        with pytest.raises(ValueError, match=r"is a model of ijepa: load it with IJEPA\.from_pretrained"):
            cls.from_pretrained(reference_file(ijepa, "ijepa"), heads=3)
