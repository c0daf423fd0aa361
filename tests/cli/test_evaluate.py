import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Trainer
from PIL import Image

from jepa_lightning import IJEPA, VJEPA
from jepa_lightning.callbacks.feature_rows import Rows
from jepa_lightning.cli.main import main
from jepa_lightning.data import PhysicsVideoDataModule, ShapesDataModule
from jepa_lightning.evaluation import feature_cache
from jepa_lightning.evaluation.subjects import Subject

DATA = ("--data", "ImageFolderDataModule", "--data.root", "images", "--data.num_workers", "0", "--data.batch_size", "8")
EVALUATE = ("evaluate", "--ckpt_path", "model.ckpt", *DATA, "--device", "cpu")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_ijepa: Any, quiet_trainer: Any) -> Path:
    """The working folder, with a checkpoint and 40 images of two classes, bright and dark, 8 of them to test on."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning", *EVALUATE])
    rng = np.random.default_rng(0)
    for i in range(40):
        path = tmp_path / "images" / ("train" if i < 32 else "val") / ("dark", "light")[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 100, (40, 40, 3)) + 150 * (i % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    save(tiny_ijepa(), tmp_path / "model.ckpt", quiet_trainer)
    return tmp_path


def save(module: IJEPA, path: Path, build: Callable[..., Trainer]) -> None:
    trainer = build(max_steps=1, limit_train_batches=1, limit_val_batches=0)
    trainer.fit(module, datamodule=ShapesDataModule(num_train=8, num_val=8, image_size=32, batch_size=8, num_workers=0))
    trainer.save_checkpoint(path)


def results(output: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(output, "results.json").read_text())
    return found


def error(capsys: Any, *arguments: str) -> str:
    with pytest.raises(SystemExit) as end:
        main(arguments)
    assert end.value.code in (1, 2)
    [line] = capsys.readouterr().err.strip().splitlines()[-1:]
    return str(line).removeprefix("jepa-lightning: error: ")


def test_results_have_each_protocol_baselines_and_where_they_are_from(folder: Path, capsys: Any) -> None:
    main([*EVALUATE, "--protocol", "linear,knn", "--output", "out"])
    found = results()
    for records in (found, found["baselines"]["random"], found["baselines"]["pixels"]):
        for protocol in ("linear", "knn"):
            record = records[protocol]["class"]
            assert 0 <= record["interval"][0] <= record["accuracy"] <= record["interval"][1] <= 1
            assert record["samples"] == 8
    assert found["linear"]["class"]["accuracy"] == 1
    assert found["command"].startswith("jepa-lightning evaluate")
    assert found["commit"] == found["versions"].get("commit", "")
    assert found["seed"] == 0
    printed = capsys.readouterr().out
    assert "class, accuracy" in printed
    assert "checkpoint random pixels" in " ".join(printed.split())
    head, _, row = Path("out/results.md").read_text().strip().splitlines()
    assert "linear class, accuracy" in head
    assert "100.0" in row
    assert found["data_fingerprint"][:12] in row


def test_a_second_protocol_reads_the_features_of_the_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main([*EVALUATE, "--protocol", "linear", "--output", "out"])
    first = results()
    monkeypatch.setattr(Subject, "features", lambda *_: pytest.fail("features are computed again"))
    main([*EVALUATE, "--protocol", "knn", "--output", "out"])
    assert results()["linear"] == first["linear"]
    assert results()["baselines"]["pixels"].keys() == {"linear", "knn"}


@pytest.mark.parametrize("changed", ["checkpoint", "file", "view"])
def test_what_has_changed_is_noticed(
    folder: Path, capsys: Any, changed: str, tiny_ijepa: Any, quiet_trainer: Any
) -> None:
    main([*EVALUATE, "--protocol", "knn", "--baselines", "false", "--output", "out"])
    if changed == "checkpoint":
        other = tiny_ijepa()
        torch.nn.init.normal_(other.target_encoder.patch_embed.proj.bias)
        save(other, folder / "model.ckpt", quiet_trainer)
    elif changed == "file":
        Image.new("RGB", (40, 40)).save("images/train/dark/2.png")
    else:
        save(tiny_ijepa(image_size=48), folder / "model.ckpt", quiet_trainer)
    found = error(capsys, *EVALUATE, "--protocol", "knn", "--baselines", "false", "--output", "out")
    assert "is of another evaluation" in found
    before = results()
    main([*EVALUATE, "--protocol", "knn", "--baselines", "false", "--output", "out", "--overwrite", "true"])
    name = "encoder_fingerprint" if changed == "checkpoint" else "data_fingerprint"
    assert results()[name] != before[name]


def test_a_run_that_stops_between_two_batches_continues_with_the_same_features(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main([*EVALUATE, "--protocol", "linear", "--output", "whole"])
    monkeypatch.setattr(feature_cache, "SAVE_EVERY", 0)
    real, calls = Subject.features, []

    def stops(self: Subject, views: Any) -> Any:
        calls.append(len(views[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, views)

    monkeypatch.setattr(Subject, "features", stops)
    with pytest.raises(SystemExit):
        main([*EVALUATE, "--protocol", "linear", "--output", "out"])
    main([*EVALUATE, "--protocol", "linear", "--output", "out"])
    assert calls[:8] == [8] * 8
    assert len(calls) == 3 + 2 + 1 + 2 * 5  # the rest of this subject, and two baselines
    assert results()["linear"] == results("whole")["linear"]
    for path in Path("whole/features").rglob("0.*"):
        assert path.read_bytes() == (Path("out") / path.relative_to("whole")).read_bytes()


@pytest.mark.slow
def test_a_run_that_is_killed_continues_with_the_same_result(folder: Path) -> None:
    main([*EVALUATE, "--protocol", "linear,knn", "--output", "whole"])
    command = [sys.executable, "-m", "jepa_lightning", *EVALUATE, "--protocol", "linear,knn", "--output", "out"]
    process = subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True)
    end = time.monotonic() + 120
    while not list(Path("out").glob("features/*/pooled-train/*")) and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("out/results.json").exists()
    main([*EVALUATE, "--protocol", "linear,knn", "--output", "out"])
    found, whole = results(), results("whole")
    assert {name: found[name] for name in ("linear", "knn", "baselines")} == {
        name: whole[name] for name in ("linear", "knn", "baselines")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--protocol", "lineer"), "there is no protocol 'lineer'"),
        (("--labels", "[kind]"), "there is no label 'kind': the data have class"),
        (("--seed", "-1"), "seed=-1 is out of range"),
        (("--clips", "2"), "are for a checkpoint of clips, such as one of VJEPA, and model.ckpt is of IJEPA"),
        (("--crops", "3"), "are for a checkpoint of clips, such as one of VJEPA, and model.ckpt is of IJEPA"),
        (("--data.pipeline", "null", "--data.mean", "[0.5,0.5,0.5]", "--data.std", "[1,1,1]"), "leave it out"),
        (("--ckpt_path", "nothing.ckpt"), "nothing.ckpt"),
        (("--device", "tpu"), "--device tpu is not there"),
        (("--encoder", "timm:resnet18"), "--ckpt_path has an encoder"),
        (("--encoder", "pixels", "--protocol", "knn,attentive"), "pixels have no tokens"),
        (("--protocol", "regression"), "regression is for labels that are numbers"),
        (("--protocol", "segmentation"), "the data have no mask for each image"),
        (("--protocol", "detection"), "the data have no boxes with classes for each image, which detection needs"),
        (("--protocol", "knn", "--detection.freeze", "false"), "--detection is for the protocol detection"),
        (("--protocol", "knn", "--finetune", "{epochs: 1}"), "--finetune is for the protocol finetune"),
        (("--protocol", "propagation"), "propagation needs videos with the masks"),
        (("--protocol", "knn,propagation"), "give it in a call of its own"),
        (("--data.root", "nowhere"), "nowhere"),
    ],
)
def test_what_cannot_be_evaluated_is_said_in_one_line(folder: Path, capsys: Any, arguments: Any, message: str) -> None:
    assert message in error(capsys, *EVALUATE, "--output", "out", *arguments)


def test_an_encoder_without_a_checkpoint_has_the_other_baselines(folder: Path) -> None:
    size = ("--image_size", "32", "--protocol", "knn", "--device", "cpu")
    main(["evaluate", "--encoder", "pixels", *DATA, *size, "--baselines", "false", "--output", "out"])
    assert results()["encoder"] == "pixels"
    assert results()["baselines"] == {}
    main([*EVALUATE, "--encoder", "random", "--protocol", "knn", "--output", "random"])
    found = results("random")
    assert found["encoder"] == "random"
    assert found["baselines"].keys() == {"pixels"}


def test_pixels_of_scenes_are_judged_beside_patches_of_pixels(folder: Path) -> None:
    shapes = ("--data", "ShapesDataModule", "--data.num_train", "16", "--data.num_val", "8", "--data.dense", "true")
    size = ("--data.num_workers", "0", "--data.batch_size", "8", "--device", "cpu")
    main(["evaluate", "--ckpt_path", "model.ckpt", *shapes, *size, "--protocol", "segmentation", "--output", "out"])
    found = results()
    for records in (found, found["baselines"]["random"], found["baselines"]["pixels"]):
        record = records["segmentation"]["mask"]
        assert 0 <= record["interval"][0] <= record["miou"] <= record["interval"][1] <= 1
        assert record["samples"] == 8


@pytest.mark.slow
def test_an_encoder_of_clips_is_shown_clips_or_images_as_the_data_have_them(
    folder: Path, capsys: Any, quiet_trainer: Any
) -> None:
    module = VJEPA(
        "vit_tiny", image_size=48, patch_size=8, num_frames=4, frame_step=1, width=24, depth=1, heads=2,
        predictor_dim=24, predictor_depth=1,
    )  # fmt: skip
    trainer = quiet_trainer(max_steps=1, limit_train_batches=1, limit_val_batches=0)
    data = PhysicsVideoDataModule(num_train=8, num_val=8, num_frames=6, image_size=32, batch_size=8, num_workers=0)
    trainer.fit(module, datamodule=data)
    trainer.save_checkpoint("clips.ckpt")
    call = ["evaluate", "--ckpt_path", "clips.ckpt", "--device", "cpu", "--protocol", "segmentation"]
    sizes = ["--data.num_train", "16", "--data.num_val", "8", "--data.dense", "true", "--data.num_workers", "0"]
    physics = ["--data", "PhysicsVideoDataModule", "--data.num_frames", "6", "--data.batch_size", "8", *sizes]
    main([*call, *physics, "--output", "clips"])
    found = results("clips")
    for records in (found, found["baselines"]["random"], found["baselines"]["pixels"]):
        assert records["segmentation"]["mask"]["samples"] == 8
    tokens = next(Path("clips").glob("features/*/tokens-test"))
    assert Rows(tokens, 1).array("mask").shape == (8, 4, 48, 48)
    main([*call, "--data", "ShapesDataModule", *sizes, "--baselines", "false", "--output", "images"])
    tokens = next(Path("images").glob("features/*/tokens-test"))
    assert Rows(tokens, 1).array("mask").shape == (8, 48, 48)
    both = [*call[:-1], "segmentation,linear", *physics, "--output", "both"]
    assert "give it in a call of its own" in error(capsys, *both)


def test_nothing_to_evaluate_is_said(folder: Path, capsys: Any) -> None:
    assert "give --ckpt_path" in error(capsys, "evaluate", *DATA, "--output", "out")


def test_results_of_something_else_are_not_replaced(folder: Path, capsys: Any) -> None:
    Path("out").mkdir()
    Path("out/results.json").write_text("{}")
    assert "was not made by" in error(capsys, *EVALUATE, "--output", "out")
    assert Path("out/results.json").read_text() == "{}"


def test_images_without_labels_are_refused(folder: Path, capsys: Any) -> None:
    for i in range(12):
        path = Path("plain") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (40, 40), (i, i, i)).save(path)
    assert "have no labels" in error(capsys, *EVALUATE, "--output", "out", "--data.root", "plain")
