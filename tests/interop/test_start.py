"""New runs that start from weights with a name: up to the request, since no test downloads."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException

from jepa_lightning import IJEPA
from jepa_lightning.callbacks import StartFrom
from jepa_lightning.cli.main import main
from jepa_lightning.interop.huggingface_writer import write_huggingface
from jepa_lightning.interop.one_file import write_one_file
from jepa_lightning.interop.report import LoadReport
from jepa_lightning.interop.start import is_source, start_from_

NAME = "facebook/ijepa_vith14_1k"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """Repositories that are asked for; those that are folders of ``hub`` are in the cache."""
    asked: list[str] = []

    def snapshot_download(name: str, **options: Any) -> str:
        asked.append(name)
        if not (folder := tmp_path / "hub" / name).exists():
            raise OSError("We couldn't connect to the hub\nand there is nothing in the cache")
        return str(folder)

    monkeypatch.setattr("jepa_lightning.interop.hub.snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    return asked


def starts(module: IJEPA, source: str, how: str) -> tuple[IJEPA, dict[str, Any]]:
    """A module of the same options with other weights, and what a Trainer is told so that it starts from a source."""
    torch.manual_seed(1)
    options = {**dict(module.hparams), **({"start_from": source} if how == "option" else {})}
    return IJEPA(**options), {"callbacks": [StartFrom(source)]} if how == "callback" else {}


@pytest.mark.parametrize("how", ["callback", "option"])
@pytest.mark.parametrize("own", [True, False])
def test_a_run_starts_from_a_repository(
    own: bool, how: str, hub: list[str], ijepa: IJEPA, quiet_trainer: Callable[..., Any], shapes: Any
) -> None:
    folder = Path("hub", NAME)
    folder.parent.mkdir(parents=True)
    ijepa.save_pretrained(folder) if own else write_huggingface(ijepa, folder)
    module, options = starts(ijepa, NAME, how)
    quiet_trainer(max_steps=1, limit_train_batches=0, **options).fit(module, shapes())
    assert set(hub) == {NAME}
    found, expected = module.target_encoder.state_dict(), ijepa.target_encoder.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("how", ["callback", "option"])
def test_a_repository_that_cannot_be_reached_ends_a_new_run_and_no_resumed_one(
    how: str, hub: list[str], ijepa: IJEPA, quiet_trainer: Callable[..., Any], shapes: Any
) -> None:
    module, options = starts(ijepa, NAME, how)
    with pytest.raises(
        MisconfigurationException,
        match=rf"{NAME} on this disk, and no repository .*connect to the hub and there .*run `hf download {NAME}`",
    ):
        quiet_trainer(max_steps=1, **options).fit(module, shapes())
    trainer = quiet_trainer(max_steps=1, limit_train_batches=0)
    trainer.fit(ijepa, shapes())
    trainer.save_checkpoint("last.ckpt")
    module, options = starts(ijepa, NAME, how)
    quiet_trainer(max_steps=1, limit_train_batches=0, **options).fit(module, shapes(), ckpt_path="last.ckpt")
    assert torch.equal(module.predictor.mask_token, ijepa.predictor.mask_token)


def test_a_folder_of_that_name_comes_first(hub: list[str], ijepa: IJEPA) -> None:
    Path("facebook").mkdir()
    ijepa.save_pretrained(NAME)
    start_from_(IJEPA(**dict(ijepa.hparams)), NAME)
    assert hub == []


def test_weights_of_another_library_are_taken_as_such(
    hub: list[str], ijepa: IJEPA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "jepa_lightning.interop.start.load_foreign_", lambda module, path, content: LoadReport("theirs")
    )
    torch.save({"state_dict": {"backbone.conv1.weight": torch.ones(1)}}, "a.ckpt")
    assert start_from_(ijepa, "a.ckpt").source == "theirs"


def test_a_bare_state_dict_is_told_what_it_lacks_unless_the_file_has_its_options(
    hub: list[str], ijepa: IJEPA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    torch.save(ijepa.state_dict(), "a.pt")
    with pytest.raises(ValueError, match=r"is not a Lightning checkpoint: it holds a dict of .*, and lacks"):
        start_from_(ijepa, "a.pt")
    write_one_file(ijepa, Path("a.safetensors"))
    module = IJEPA(**dict(ijepa.hparams))
    assert start_from_(module, "~/a.safetensors").source == "~/a.safetensors"
    assert torch.equal(module.predictor.mask_token, ijepa.predictor.mask_token)


def test_other_statistics_are_said_of_folders_of_other_libraries_alone(
    hub: list[str], ijepa: IJEPA, reference_file: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[Any] = []
    monkeypatch.setattr("jepa_lightning.interop.start.say_other_statistics", lambda *given: said.append(given[1:3]))
    write_huggingface(ijepa, Path("theirs"))
    ijepa.save_pretrained("ours")
    for source in ("ours", str(reference_file(ijepa, "ijepa"))):
        start_from_(ijepa, source)
    assert not said
    start_from_(ijepa, "theirs")
    ((path, config),) = said
    assert (path, config["model_type"]) == (Path("theirs"), "ijepa")


@pytest.mark.parametrize(
    ("source", "there"),
    [
        ("a.ckpt", True), ("~/a.ckpt", True), ("ijepa_vith14_1k", True), ("timm:vit_tiny_patch16_224", True),
        ("owner/name", True), ("none.ckpt", False), ("owner/none.ckpt", False),
    ],
)  # fmt: skip
def test_what_can_be_a_source(source: str, there: bool, hub: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(Path.cwd()))
    Path("a.ckpt").touch()
    assert is_source(source) is there
    assert hub == []  # nothing is fetched to find out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (NAME, f"start_from: there is no {NAME} on this disk, and no repository of that name could be fetched"),
        ("ijepa_vith14_1k", "cannot download ijepa_vith14_1k (no network): fetch https://"),
        ("ijepa_vith14_1", "start_from: there is no ijepa_vith14_1"),
    ],
)
def test_without_a_network_the_command_ends_in_one_line(
    name: str, message: str, hub: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def no_network(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "download_url_to_file", no_network)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch"))
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])
    with pytest.raises(SystemExit) as end:
        main([
            "fit", "--model", "IJEPA", "--model.encoder", "vit_tiny", "--model.width", "24", "--model.depth", "1",
            "--model.heads", "3", "--model.image_size", "32", "--model.patch_size", "8", "--model.predictor_dim", "24",
            "--model.predictor_depth", "1", "--model.min_keep", "2", "--model.start_from", name,
            "--data", "ShapesDataModule", "--data.image_size", "32", "--data.num_workers", "0",
            "--trainer.max_steps", "1", "--trainer.accelerator", "cpu", "--trainer.logger", "false",
        ])  # fmt: skip
    assert end.value.code in (1, 2)
    lines = capsys.readouterr().err.strip().splitlines()
    assert not any("Traceback" in line for line in lines)
    assert lines[-1].startswith(f"jepa-lightning: error: {message}")
