"""Every file in configs/ is parsed, what it names is built, and those with built-in data run."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from lightning.pytorch import Trainer

from jepa_lightning import VJEPA
from jepa_lightning.cli.lightning_cli import JEPACLI
from jepa_lightning.cli.main import main
from jepa_lightning.cli.planning.options import parsed

CONFIGS = Path(__file__).parents[1] / "configs"
TRAINERS = sorted(CONFIGS.glob("trainer/*.yaml"))
ALL = sorted({*CONFIGS.rglob("*.yaml")} - {*TRAINERS})
HERE = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1", "--trainer.strategy=auto"]

PROCEDURAL = ("ShapesDataModule", "PhysicsVideoDataModule", "TwoRoomsDataModule")
ENCODER = "vjepa.ckpt"  # of a run before, which a recipe asks for
WORLDS = ("quickstart.yaml", "quickstart_pixels.yaml")
WORLDS_OF_HEADERS = ("TwoRooms", "PushT")
LARGE = ("vit_large", "vit_huge", "vit_giant", "vit_giant_xformers", "vit_gigantic")


def built_in(path: Path) -> bool:
    data = yaml.safe_load(path.read_text()).get("data", {})
    data = data.get("init_args", {}).get("videos", data)  # of a mixture
    return data.get("class_path", "").rpartition(".")[2] in (*PROCEDURAL, "DigitsDataModule")


class Built(JEPACLI):
    def after_instantiate_classes(self) -> None:
        raise StopIteration


def names(paths: list[Path]) -> list[Any]:
    return [pytest.param(path, id=str(path.relative_to(CONFIGS))) for path in paths]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])


def save_encoder(patch_size: int = 8, **options: Any) -> None:
    """Writes the checkpoint that a recipe asks for."""
    size = {"image_size": 4 * patch_size, "patch_size": patch_size, "num_frames": 4}
    module = VJEPA("vit_tiny", **size, depth=1, predictor_depth=1, min_keep=1, **options)
    trainer = Trainer(logger=False, enable_checkpointing=False, accelerator="cpu")
    trainer.strategy.connect(module)
    module.trainer = trainer
    trainer.save_checkpoint(ENCODER, weights_only=True)


def test_there_are_some() -> None:
    assert CONFIGS / "quickstart.yaml" in ALL


@pytest.mark.parametrize("path", names(ALL))
def test_what_a_config_names_can_be_built(path: Path) -> None:
    model = yaml.safe_load(path.read_text())["model"].get("init_args", {})
    # a block is like another, and those of the large ones take gigabytes
    shallow = ["--model.depth=1"] if model.get("encoder") in LARGE or model.get("images") else []
    if shallow and model.get("levels"):
        shallow += ["--model.levels=[-1]"]
    if model.get("teacher") == ENCODER:
        save_encoder(patch_size=16, tubelet_size=2, images=True, image_blocks=1)
    if model.get("encoder") == ENCODER:
        save_encoder()
        shallow = ["--model.predictor_depth=1", "--model.image_size=32"]
    with pytest.raises(StopIteration):
        Built(["fit", "--config", str(path), *HERE, *shallow])


@pytest.mark.parametrize("path", names(ALL))
def test_a_config_says_how_it_is_run(path: Path) -> None:
    assert f"jepa-lightning fit --config configs/{path.relative_to(CONFIGS)}" in header_of(path)


@pytest.mark.parametrize("path", names(sorted(CONFIGS.glob("world/*.yaml"))))
def test_a_header_says_how_a_world_model_plans(path: Path) -> None:
    commands = re.findall(r"jepa-lightning plan (.*)", header_of(path).replace("\\\n", " "))
    assert commands
    for command in commands:
        options, _ = parsed(shlex.split(command))
        assert options.env in WORLDS_OF_HEADERS


def header_of(path: Path) -> str:
    """The comments before a configuration, without their marks."""
    return "\n".join(line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#"))


@pytest.mark.parametrize("model", ["quickstart.yaml", "byol/small.yaml", "vjepa/quickstart.yaml"])
@pytest.mark.parametrize("path", names(TRAINERS))
def test_a_trainer_goes_behind_any_model(path: Path, model: str, capsys: Any) -> None:
    here = ["--trainer.accelerator=cpu", "--trainer.devices=1", "--trainer.num_nodes=1"]
    arguments = ["fit", "--config", str(CONFIGS / model), "--config", str(path), *here]
    if path.stem == "fsdp1":
        with pytest.raises(SystemExit):
            main(arguments)
        assert "strategy `fsdp` requires a GPU" in capsys.readouterr().err
        return
    with pytest.raises(StopIteration):
        Built(arguments)


@pytest.mark.parametrize("path", names(TRAINERS))
def test_a_trainer_config_says_how_it_is_used(path: Path) -> None:
    text = path.read_text()
    assert f"--config configs/trainer/{path.name}" in text
    assert yaml.safe_load(text).keys() <= {"trainer", "ckpt_path"}


def test_the_baseline_in_pixel_space_has_the_data_and_the_predictor_of_the_quickstart() -> None:
    first, second = (yaml.safe_load((CONFIGS / "world" / name).read_text()) for name in WORLDS)
    assert first["data"] == second["data"]
    assert first["trainer"]["max_steps"] == second["trainer"]["max_steps"]
    shared = {"predictor", "predictor_depth", "predictor_hidden", "action_size", "num_frames", "rollout_steps", "lr"}
    models = [each["model"]["init_args"] for each in (first, second)]
    assert [{name: model.get(name) for name in shared} for model in models[1:]] == [
        {name: model.get(name) for name in shared} for model in models[:1]
    ]
    rows, columns = models[1]["encoder"]["init_args"]["grid"]
    assert models[0]["encoder"]["init_args"]["width"] == 2 * rows * columns  # of states


def run_often(path: Path) -> Any:
    """A parameter: what the README starts with is run by default, the recipes of all methods are slow tests."""
    marks = [] if path.name == "quickstart.yaml" else [pytest.mark.slow]
    return pytest.param(path, id=str(path.relative_to(CONFIGS)), marks=marks)


@pytest.mark.parametrize("path", [run_often(path) for path in ALL if built_in(path)])
def test_a_config_with_built_in_data_runs(path: Path, capsys: Any) -> None:
    procedural = any(name in path.read_text() for name in PROCEDURAL)
    parts = ("data.videos.init_args", "data.images.init_args") if "MixedData" in path.read_text() else ("data",)
    small = [f"--{part}.{size}" for part in parts for size in ("num_train=64", "num_val=16")] if procedural else []
    steps = ["--trainer.max_steps=4", "--trainer.val_check_interval=2", "--data.batch_size=16", "--data.num_workers=0"]
    main(["fit", "--config", str(path), *HERE, *small, *steps, "--trainer.enable_progress_bar=false"])
    assert "4 steps in" in capsys.readouterr().out
