"""Checkpoints of modules whose encoder is a class of the user's."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from lightning.pytorch.core.mixins import HyperparametersMixin
from torch import Tensor, nn

from jepa_lightning import IJEPA
from jepa_lightning.cli import main

Build = Callable[..., Any]
OPTIONS = {
    "image_size": 32, "patch_size": 8, "predictor_depth": 1, "predictor_dim": 24, "num_targets": 2, "min_keep": 4,
}  # fmt: skip
SOURCE = """
import torch
from torch import nn
from lightning.pytorch.core.mixins import HyperparametersMixin

class Net(nn.Module, HyperparametersMixin):
    def __init__(self, width: int = 24, hidden: tuple = (8,)) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.width, self.grid_size = width, (4, 4)
        self.proj = nn.Conv2d(3, width, 8, 8)

    def forward(self, x, keep=None):
        tokens = self.proj(x).flatten(2).transpose(1, 2)
        return tokens if keep is None else tokens[torch.arange(len(x))[:, None], keep]
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: Any) -> Any:
    """A module of the user's, not imported yet."""
    (tmp_path / "nets_of_this_test.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    yield "nets_of_this_test"
    sys.modules.pop("nets_of_this_test", None)


def train(module: IJEPA, shapes: Build, quiet_trainer: Build) -> Path:
    trainer = quiet_trainer(max_steps=2)
    trainer.fit(module, shapes(image_size=32))
    trainer.save_checkpoint("own.ckpt")
    return Path("own.ckpt")


@pytest.mark.parametrize("form", ["network", "class path"])
def test_loads_without_arguments_where_the_class_is_imported(
    nets: str, form: str, shapes: Build, quiet_trainer: Build
) -> None:
    spec = {"class_path": f"{nets}.Net", "init_args": {"width": 32}}
    module = IJEPA(encoder=spec, **OPTIONS)
    if form == "network":
        module = IJEPA(encoder=sys.modules[nets].Net(width=32), **OPTIONS)
        spec = {"class_path": f"{nets}.Net", "init_args": {"width": 32, "hidden": (8,)}}
    path = train(module, shapes, quiet_trainer)
    saved = torch.load(path, weights_only=True)["hyper_parameters"]
    assert saved["encoder"] == spec
    loaded = IJEPA.load_from_checkpoint(path)
    assert type(loaded.context_encoder) is sys.modules[nets].Net
    torch.testing.assert_close(loaded.state_dict(), module.cpu().state_dict(), rtol=0, atol=0)
    assert loaded.hparams["encoder"] == spec


def test_nothing_is_imported_because_a_checkpoint_names_it(nets: str, shapes: Build, quiet_trainer: Build) -> None:
    path = train(IJEPA(encoder={"class_path": f"{nets}.Net"}, **OPTIONS), shapes, quiet_trainer)
    del sys.modules[nets]
    with pytest.raises(
        ValueError, match=f"own.ckpt names the class {nets}.Net for its option encoder, .* import {nets}"
    ):
        IJEPA.load_from_checkpoint(path)
    assert nets not in sys.modules
    spec = {"class_path": f"{nets}.Net", "init_args": {}}
    assert IJEPA.load_from_checkpoint(path, encoder=spec).context_encoder.width == 24
    assert nets in sys.modules


@pytest.mark.parametrize("path", ["os.system", "os.mkdir", "subprocess.Popen", "builtins.exec", "pathlib.Path"])
def test_what_a_checkpoint_names_is_not_called_unless_it_is_a_network(
    path: str, nets: str, shapes: Build, quiet_trainer: Build
) -> None:
    __import__("subprocess")
    checkpoint = train(IJEPA(encoder={"class_path": f"{nets}.Net"}, **OPTIONS), shapes, quiet_trainer)
    content = torch.load(checkpoint, weights_only=True)
    content["hyper_parameters"]["encoder"] = {
        "class_path": path,
        "init_args": {"path": "made", "command": "touch made"},
    }
    torch.save(content, checkpoint)
    with pytest.raises(ValueError, match=f"{path} is not the path of an nn.Module"):
        IJEPA.load_from_checkpoint(checkpoint)
    assert not Path("made").exists()


class Wrapped(nn.Module, HyperparametersMixin):
    """Its argument is no plain data."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.save_hyperparameters(ignore=[])
        self.inner, self.width, self.grid_size = inner, 24, (4, 4)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        tokens = self.inner(x).flatten(2).transpose(1, 2)
        return tokens if keep is None else tokens[torch.arange(len(x))[:, None], keep]


@pytest.mark.filterwarnings("ignore:the arguments of the encoder", "ignore:Attribute 'inner'")
def test_arguments_that_are_not_plain_are_asked_for(nets: str, shapes: Build, quiet_trainer: Build) -> None:
    module = IJEPA(encoder=Wrapped(nn.Conv2d(3, 24, 8, 8)), **OPTIONS)
    path = train(module, shapes, quiet_trainer)
    with pytest.raises(ValueError, match=r"the arguments of the encoder .*Wrapped were not saved: pass encoder="):
        IJEPA.load_from_checkpoint(path)
    loaded = IJEPA.load_from_checkpoint(path, encoder=Wrapped(nn.Conv2d(3, 24, 8, 8)))
    torch.testing.assert_close(loaded.state_dict(), module.cpu().state_dict(), rtol=0, atol=0)


def test_through_the_command_line(nets: str, tiny_cli: str, capsys: Any) -> None:
    config = yaml.safe_load(Path(tiny_cli).read_text())
    config["model"] = {
        "class_path": "IJEPA", "init_args": {**OPTIONS, "encoder": {"class_path": f"{nets}.Net"}}
    }  # fmt: skip
    Path("own.yaml").write_text(yaml.safe_dump(config))
    wide = {"class_path": f"{nets}.Net", "init_args": {"width": 32}}
    main(["fit", "--config", "own.yaml", "--trainer.max_steps=1", f"--model.encoder={json.dumps(wide)}"])
    (last,) = Path("logs").rglob("last.ckpt")
    saved = torch.load(last, weights_only=True)["hyper_parameters"]["encoder"]
    assert saved == {"class_path": f"{nets}.Net", "init_args": {"width": 32}}
    for given in ({}, {"encoder": sys.modules[nets].Net(32)}):
        assert IJEPA.load_from_checkpoint(last, **given).context_encoder.width == 32
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["fit", "--model.help", "IJEPA"])
    assert len(capsys.readouterr().out.splitlines()) < 400
    del sys.modules[nets]
    main(["validate", "--config", "own.yaml", "--ckpt_path", "last", f"--model.encoder={json.dumps(wide)}"])
    del sys.modules[nets]
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(["validate", "--config", tiny_cli, "--ckpt_path", str(last)])
    assert f"names the class {nets}.Net for its option encoder" in capsys.readouterr().err
    assert nets not in sys.modules
