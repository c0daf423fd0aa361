"""Classes of a person's own project: a method, a DataModule and an encoder, trained and evaluated by their paths."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.cli.main import main

MODELS = """
from jepa_lightning import IJEPA

class X(IJEPA):
    def __init__(self, power: float = 2.0, **options):
        super().__init__(**options)
        self.power = power

    def distance(self, predicted, target):
        return (predicted - target).abs().pow(self.power).mean(dim=(1, 2, 3))

class Other(IJEPA):
    pass
"""
DATA = """
import torch
from jepa_lightning.data import JEPADataModule

def samples(number):
    return [(torch.full((3, 32, 32), 200 * (i % 2) + i, dtype=torch.uint8), i % 2, None) for i in range(number)]

class MyDataModule(JEPADataModule):
    num_classes = 2

    def __init__(self, number: int = 32, **options):
        super().__init__(**options)
        self.number = number

    def build_datasets(self):
        return samples(self.number), samples(self.number // 4)
"""
NETS = """
from torch import nn

class MyEncoder(nn.Module):
    def __init__(self, width: int = 16):
        super().__init__()
        self.width, self.grid_size = width, (4, 4)
        self.conv = nn.Conv2d(3, width, 8, 8)

    def forward(self, x, keep=None):
        tokens = self.conv(x).flatten(2).transpose(1, 2)
        return tokens if keep is None else tokens.gather(1, keep[..., None].expand(-1, -1, self.width))

class Sized(MyEncoder):
    def __init__(self, width):
        super().__init__(width)
"""
LOADING = ("--data.num_workers", "0", "--data.batch_size", "8")
SCENES = (
    "--data", "ShapesDataModule", "--data.num_train", "24", "--data.num_val", "8", "--data.image_size", "32",
    "--labels", "[background]", *LOADING,
)  # fmt: skip
OWN = ("--data", "mypkg.data.MyDataModule", *LOADING)
EVALUATE = ("--protocol", "knn", "--device", "cpu", "--output", "out")
PREDICTOR = ("--model.predictor_depth", "1", "--model.predictor_dim", "24", "--model.min_keep", "2")
TINY = (
    "--model.encoder", "vit_tiny", "--model.width", "24", "--model.depth", "1", "--model.heads", "3",
    "--model.patch_size", "8", *PREDICTOR,
)  # fmt: skip
FIT = (
    "--model.image_size", "32", "--trainer.max_steps", "1", "--trainer.accelerator", "cpu", "--trainer.logger", "false",
    "--trainer.limit_val_batches", "0", "--trainer.enable_progress_bar", "false",
)  # fmt: skip
CHECKPOINT = "logs/{}/version_0/checkpoints/last.ckpt"


def forget() -> None:
    """What a new process would not have imported yet."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mypkg"]:
        del sys.modules[name]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Iterator[Callable[..., Any]]:
    """Runs a command in the folder of a project, as a new process would: its results, or its line of error."""
    (tmp_path / "mypkg").mkdir()
    for name, text in {"__init__": "", "models": MODELS, "data": DATA, "nets": NETS}.items():
        (tmp_path / "mypkg" / f"{name}.py").write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])

    def command(*arguments: str) -> Any:
        forget()
        try:
            main(arguments)
        except SystemExit:
            lines = capsys.readouterr().err.strip().splitlines()
            assert lines[-1].startswith("jepa-lightning: error: ")
            assert not any("Traceback" in line for line in lines)
            return lines[-1]
        return json.loads(Path("out/results.json").read_text()) if arguments[0] == "evaluate" else None

    yield command
    forget()


def test_a_method_of_a_project_is_trained_and_evaluated(run: Any) -> None:
    run("fit", "--model", "mypkg.models.X", *TINY, *OWN, *FIT)
    path = CHECKPOINT.format("X")
    assert Path(path).is_file()
    said = run("evaluate", "--ckpt_path", path, *SCENES, *EVALUATE)
    assert f"{path} is of the class mypkg.models.X, which a checkpoint does not get imported: give --model" in said
    found = run("evaluate", "--ckpt_path", path, "--model", "mypkg.models.X", *SCENES, *EVALUATE)
    assert found["knn"]["background"]["samples"] == 8
    found = run(
        "evaluate", "--ckpt_path", path, "--model", "mypkg.models.X", *OWN, *EVALUATE, "--protocol", "knn,finetune",
        "--finetune", '{"epochs": 1}', "--overwrite", "true",
    )  # fmt: skip
    assert found["data"] == "MyDataModule"
    assert found["knn"]["class"]["accuracy"] == 1
    assert found["finetune"]["class"]["samples"] == 8
    for given, message in {
        "mypkg.models.Y": "there is no class mypkg.models.Y",
        "nowhere.X": "there is no class nowhere.X",
        "mypkg.models.Other": f"--model is mypkg.models.Other, and {path} is of mypkg.models.X",
        "VJEPA": f"{path} is of the class mypkg.models.X, which",
        "mypkg.nets.MyEncoder": "is no JEPAModule",
    }.items():
        assert message in run("evaluate", "--ckpt_path", path, "--model", given, *OWN, *EVALUATE)


def test_an_encoder_of_a_project_is_evaluated_as_it_is_built(run: Any) -> None:
    size = ("--image_size", "32")
    found = run("evaluate", "--encoder", "mypkg.nets.MyEncoder", *size, *OWN, *EVALUATE)
    assert found["encoder"] == "mypkg.nets.MyEncoder"
    assert found["baselines"].keys() == {"pixels"}  # it may bring its weights, so that no other one of it is random
    again = run("evaluate", "--encoder", "mypkg.nets.MyEncoder", *size, *OWN, *EVALUATE)
    assert again["encoder_fingerprint"] == found["encoder_fingerprint"]
    for given, message in {
        "mypkg.nets.Sized": "mypkg.nets.Sized cannot be built without arguments",
        "mypkg.nets.Nothing": "there is no class mypkg.nets.Nothing",
        "mypkg.data.MyDataModule": "mypkg.data.MyDataModule is no nn.Module",
        "vit_huge": "there is no --encoder vit_huge",
    }.items():
        assert message in run("evaluate", "--encoder", given, *size, *OWN, *EVALUATE)
    assert "--model is the class of a checkpoint" in run(
        "evaluate", "--encoder", "random", "--model", "mypkg.models.X", *size, *OWN, *EVALUATE
    )


def test_a_checkpoint_with_an_encoder_of_a_project(run: Any) -> None:
    encoder = '{"class_path": "mypkg.nets.MyEncoder", "init_args": {"width": 16}}'
    run("fit", "--model", "IJEPA", "--model.encoder", encoder, *PREDICTOR, *OWN, *FIT)
    path = CHECKPOINT.format("IJEPA")
    said = run("evaluate", "--ckpt_path", path, *SCENES, *EVALUATE)
    assert "names the class mypkg.nets.MyEncoder for its option encoder" in said
    found = run("evaluate", "--ckpt_path", path, "--encoder", "mypkg.nets.MyEncoder", *SCENES, *EVALUATE)
    assert found["encoder"] == "checkpoint"
    assert found["baselines"].keys() == {"random", "pixels"}
    said = run("evaluate", "--ckpt_path", path, "--encoder", "mypkg.nets.Sized", *SCENES, *EVALUATE)
    assert f"--encoder is mypkg.nets.Sized, and the encoder of {path} is another one" in said
