"""Checkpoints and configurations with old names of options are read, with a warning."""

import inspect
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jepa_lightning import DINO, IJEPA, MAE, modules
from jepa_lightning.cli import main
from jepa_lightning.renamed_options import RENAMED, saved_options, with_new_names, with_new_names_inside

TINY = {"encoder": "vit_tiny", "width": 48, "depth": 1, "heads": 3, "image_size": 32, "patch_size": 8}


class OwnDINO(DINO):
    """A subclass of a user."""


def test_new_names_are_options_and_old_ones_are_not() -> None:
    for name, renamed in RENAMED.items():
        options = inspect.signature(getattr(modules, name).__init__).parameters
        assert set(renamed.values()) <= set(options)
        assert not set(renamed) & set(options)


@pytest.mark.parametrize("owner", [DINO, OwnDINO, "DINO", "jepa_lightning.modules.DINO", "own.OwnDINO", "Other"])
def test_old_names_become_new_ones_with_a_warning_each(owner: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "own", SimpleNamespace(OwnDINO=OwnDINO))
    if owner == "Other":
        assert with_new_names(owner, {"prototypes": 8}) == {"prototypes": 8}
        return
    with pytest.warns(DeprecationWarning, match="is now called") as seen:
        found = with_new_names(owner, {"lr": 1.0, "prototypes": 8, "freeze_epochs": 2})
    assert found == {"lr": 1.0, "num_prototypes": 8, "freeze_prototypes": "2 epochs"}
    assert [str(each.message).split(":")[0] for each in seen] == [
        "option 'prototypes' is now called 'num_prototypes'",
        "option 'freeze_epochs' is now called 'freeze_prototypes'",
    ]


def test_other_classes_and_new_names_are_left_alone() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert with_new_names(IJEPA, {"sigreg": 0.1}) == {"sigreg": 0.1}
        assert with_new_names(DINO, {"num_prototypes": 8}) == {"num_prototypes": 8}
        both = {"prototypes": 4, "num_prototypes": 8}
        assert with_new_names(DINO, both) == both
    with pytest.warns(DeprecationWarning, match="is now called"):
        assert with_new_names(DINO, {"freeze_epochs": "3 steps"}) == {"freeze_prototypes": "3 steps"}


def test_configurations_are_searched_for_classes() -> None:
    config = {"model": {"class_path": "LeJEPA", "init_args": {"sigreg": 0.1}}, "trainer": {"callbacks": [{"a": 1}]}}
    with pytest.warns(DeprecationWarning, match="is now called"):
        found = with_new_names_inside(config)
    assert found == {**config, "model": {"class_path": "LeJEPA", "init_args": {"sigreg_share": 0.1}}}


def with_old_names(path: Path) -> None:
    """Gives a checkpoint's options the names and values that they had before."""
    saved = torch.load(path, weights_only=True)
    options = saved["hyper_parameters"]
    options["prototypes"], options["bottleneck"] = options.pop("num_prototypes"), options.pop("bottleneck_dim")
    options["freeze_epochs"] = 1
    del options["freeze_prototypes"]
    torch.save(saved, path)


def test_a_checkpoint_with_old_names_loads(tmp_path: Path, quiet_trainer: Any, shapes: Any) -> None:
    model = DINO(**TINY, num_prototypes=16, head_hidden=32, bottleneck_dim=8, num_local=1)
    trainer = quiet_trainer(max_steps=1, limit_val_batches=0)
    trainer.fit(model, shapes())
    trainer.save_checkpoint(tmp_path / "old.ckpt", weights_only=True)
    with_old_names(tmp_path / "old.ckpt")
    with pytest.warns(DeprecationWarning, match="'prototypes' is now called 'num_prototypes'"):
        loaded = DINO.load_from_checkpoint(tmp_path / "old.ckpt")
    assert loaded.hparams["num_prototypes"] == 16
    assert loaded.hparams["freeze_prototypes"] == "1 epochs"
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, loaded.state_dict()[name]), name


def test_the_command_line_resumes_a_run_with_old_names(tiny_cli: str) -> None:
    small = ["--model.head_hidden=32", "--model.num_local=1", "--trainer.callbacks=[]"]
    new = ["--model.num_prototypes=16", "--model.bottleneck_dim=8"]
    main(["fit", "--config", tiny_cli, "--model", "DINO", *small, *new, "--trainer.max_steps=2"])
    run = Path("logs/DINO/version_0")
    text = (run / "config.yaml").read_text()
    assert "num_prototypes: 16" in text
    text = text.replace("num_prototypes", "prototypes").replace("bottleneck_dim", "bottleneck")
    (run / "config.yaml").write_text(text)
    with_old_names(run / "checkpoints/last.ckpt")
    with pytest.warns(DeprecationWarning, match="is now called"):
        main(["fit", "--config", str(run / "config.yaml"), "--ckpt_path", "last", "--trainer.max_steps=4"])
    saved = torch.load(run / "checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert saved["hyper_parameters"]["num_prototypes"] == 16


def test_a_checkpoint_of_before_an_option_does_what_it_did() -> None:
    assert saved_options("jepa_lightning.BYOL", {"lr": 0.1}) == {"interpolation": "bilinear", "lr": 0.1}
    assert saved_options(MAE, {"interpolation": "bicubic"}) == {"interpolation": "bicubic"}
    assert saved_options(IJEPA, {"lr": 0.1}) == {"lr": 0.1}
