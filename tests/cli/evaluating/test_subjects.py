"""Which networks are evaluated through the command line, and on which data."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from jepa_lightning import VJEPA, WorldModel
from jepa_lightning.cli.main import main

LOADING = ("--data.num_workers", "0", "--data.batch_size", "8", "--device", "cpu", "--output", "out")
SCENES = (
    "--data", "ShapesDataModule", "--data.num_train", "24", "--data.num_val", "8", "--data.image_size", "32",
    "--labels", "[background]",
)  # fmt: skip
CLIPS = (
    "--data", "PhysicsVideoDataModule", "--data.num_train", "24", "--data.num_val", "8", "--data.num_frames", "6",
    "--data.image_size", "32", "--labels", "[gravity]",
)  # fmt: skip
SIZES = {"width": 24, "depth": 3, "heads": 3, "image_size": 32, "patch_size": 8}


@pytest.fixture
def evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> Callable[..., Any]:
    """Runs the command: its results, or its line of error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning", "evaluate"])

    def run(*arguments: str) -> Any:
        try:
            main(["evaluate", *arguments, *LOADING])
        except SystemExit:
            lines = capsys.readouterr().err.strip().splitlines()
            assert lines[-1].startswith("jepa-lightning: error: ")
            assert not any("Traceback" in line for line in lines)
            return lines[-1]
        return json.loads(Path("out/results.json").read_text())

    return run


@pytest.fixture
def vjepa(save: Callable[..., Path]) -> str:
    torch.manual_seed(0)
    sizes = {**SIZES, "num_frames": 4, "frame_step": 1, "predictor_depth": 1, "predictor_dim": 24, "min_keep": 4}
    return str(save(VJEPA("vit_tiny", **sizes), "vjepa.ckpt"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's networks keep the weights that they are drawn with."""
    monkeypatch.setattr(timm.models._builder, "load_pretrained", lambda *_, **__: None)


def accuracies(found: Any, protocol: str = "knn") -> dict[str, float]:
    """Of the subject, by the name of its label, and of the baselines."""
    every = {found["encoder"]: found, **found["baselines"]}
    return {name: next(iter(each[protocol].values()))["accuracy"] for name, each in every.items() if protocol in each}


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("name", "size"), [("test_vit", "32"), ("test_resnet", "64")])
def test_networks_of_timm(evaluate: Any, name: str, size: str) -> None:
    found = evaluate("--encoder", f"timm:{name}", "--image_size", size, *SCENES, "--protocol", "knn")
    assert found["encoder"] == f"timm:{name}"
    assert accuracies(found).keys() == {f"timm:{name}", "random", "pixels"}


@pytest.mark.usefixtures("offline")
def test_a_patch_that_does_not_divide_an_image_is_named(evaluate: Any) -> None:
    said = evaluate("--encoder", "timm:test_vit", "--image_size", "33", *SCENES, "--protocol", "knn")
    assert "patch 16x16 does not divide an input of 33x33: choose an image size" in said


@pytest.mark.parametrize("encoder", ["random", "pixels"])
def test_baselines_alone(evaluate: Any, encoder: str) -> None:
    found = evaluate("--encoder", encoder, "--image_size", "32", *SCENES, "--protocol", "knn")
    assert found["encoder"] == encoder
    assert accuracies(found).keys() == {"random", "pixels"}


def test_features_of_several_clips_and_crops_are_averaged(
    evaluate: Any, vjepa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, seen = VJEPA.forward, list[torch.Tensor]()

    def forward(self: VJEPA, x: torch.Tensor, *arguments: Any, **options: Any) -> Any:
        seen.append(x)
        return real(self, x, *arguments, **options)

    monkeypatch.setattr(VJEPA, "forward", forward)
    options = ("--ckpt_path", vjepa, *CLIPS, "--protocol", "knn", "--baselines", "false")
    evaluate(*options)
    one_view = len(seen)
    seen.clear()
    found = evaluate(*options, "--clips", "2", "--crops", "3", "--overwrite", "true")
    assert accuracies(found).keys() == {"checkpoint"}
    assert len(seen) == 6 * one_view
    assert not torch.equal(seen[0], seen[3])  # of another clip


def test_labels_of_pixels_of_images_are_for_encoders_of_clips_too(evaluate: Any, vjepa: str) -> None:
    dense = (*SCENES, "--data.dense", "true")
    found = evaluate("--ckpt_path", vjepa, *dense, "--protocol", "segmentation,depth")
    assert set(found["depth"]) == {"depth"}
    said = evaluate("--ckpt_path", vjepa, *dense, "--protocol", "knn,segmentation")
    assert "segmentation shows VJEPA the images of data of images, and other protocols show it clips" in said
    said = evaluate("--ckpt_path", vjepa, *dense, "--protocol", "knn", "--overwrite", "true")
    assert "takes masks of the frames of videos, and the samples have mask, depth, boxes" in said
    said = evaluate("--ckpt_path", vjepa, *CLIPS, "--protocol", "depth", "--overwrite", "true")
    assert "the data have no depth for each image, which depth needs" in said


@pytest.mark.parametrize("encoder", ["impala", "vit_tiny", "timm:test_resnet"])
def test_a_world_model_is_judged_by_clips_and_by_images(evaluate: Any, save: Callable[..., Path], encoder: str) -> None:
    torch.manual_seed(1)  # the random one has the seed 0
    sizes = {"impala": {"width": 16, "image_size": 32}, "vit_tiny": SIZES}.get(encoder, {"image_size": 32})
    world = WorldModel(encoder, **sizes, in_channels=3, num_frames=4, rollout_steps=2, inverse_hidden=8)
    path = str(save(world, "world.ckpt"))
    found = evaluate("--ckpt_path", path, *CLIPS, "--protocol", "knn")
    assert accuracies(found).keys() == {"checkpoint", "random", "pixels"}
    notes = [json.loads(each.read_text()) for each in Path("out/features").glob("*/pooled-train/0.json")]
    kinds = sorted(len({"last", "last4"} & note["forms"].keys()) for note in notes)
    assert kinds == ([0, 1, 1] if encoder == "impala" else [0, 2, 2])  # pixels have neither
    found = evaluate("--ckpt_path", path, *SCENES, "--protocol", "knn", "--overwrite", "true")
    assert accuracies(found).keys() == {"checkpoint", "random", "pixels"}
    said = evaluate("--ckpt_path", path, *CLIPS, "--protocol", "finetune", "--overwrite", "true")
    assert "finetune trains the encoder of WorldModel, which takes single frames" in said
