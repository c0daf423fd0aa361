"""Detection through the command line."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from jepa_lightning.cli.main import main
from jepa_lightning.evaluation import average_precision
from jepa_lightning.evaluation.detection import RECIPES
from jepa_lightning.evaluation.tuned_detection import TUNED

SMALL = ("--data.num_workers", "0", "--data.batch_size", "8", "--device", "cpu", "--protocol", "detection")
SHAPES = ("--data", "ShapesDataModule", "--data.num_train", "32", "--data.num_val", "8", "--data.image_size", "32")
COCO = ("--data", "CocoDataModule", "--data.root", "images", "--data.train", "train.json")


@pytest.fixture
def evaluate(
    other_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> Callable[..., dict[str, Any] | str]:
    """Runs the command with a small I-JEPA and two steps of training: its results, or its line of error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning", "evaluate"])
    monkeypatch.setitem(RECIPES, "quick", dataclasses.replace(RECIPES["quick"], steps=2))
    monkeypatch.setitem(TUNED, "quick", dataclasses.replace(TUNED["quick"], detector=RECIPES["quick"]))

    def run(*arguments: str) -> dict[str, Any] | str:
        try:
            main(["evaluate", "--ckpt_path", str(other_checkpoint), *arguments, *SMALL, "--output", "out"])
        except SystemExit:
            lines = capsys.readouterr().err.strip().splitlines()
            assert lines[-1].startswith("jepa-lightning: error: ")
            assert not any("Traceback" in line for line in lines)
            return lines[-1]
        found: dict[str, Any] = json.loads(Path("out/results.json").read_text())
        return found

    return run


@pytest.fixture
def images(tmp_path: Path) -> dict[str, Any]:
    """Images of which every third shows nothing, and what their file of annotations says."""
    images, boxes = [], []
    (tmp_path / "images").mkdir()
    for i in range(20):
        pixels = np.zeros((32, 40, 3), np.uint8)
        if i % 3:
            pixels[8:20, 10:26] = 255
            boxes.append({"image_id": i, "category_id": i % 2, "bbox": [10, 8, 16, 12], "iscrowd": int(i == 7)})
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
        images.append({"id": i, "file_name": f"{i}.png", "width": 40, "height": 32})
    categories = [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    return {"images": images, "annotations": boxes, "categories": categories}


def save(found: dict[str, Any], name: str = "train") -> None:
    Path(f"{name}.json").write_text(json.dumps(found))


def test_scenes_have_figures_baselines_and_a_row(evaluate: Any, capsys: Any) -> None:
    found = evaluate(*SHAPES, "--data.dense", "true")
    for records in (found, found["baselines"]["random"], found["baselines"]["pixels"]):
        record = records["detection"]["boxes"]
        assert record["encoder"] == "frozen"
        assert 0 <= record["interval"][0] <= record["interval"][1] <= 1
        assert all(0 <= value <= 1 for value in (record["map"], record["map_50"], *record["classes"].values()))
        assert record["samples"] == 8
    assert "boxes, map" in capsys.readouterr().out
    head, _, row = Path("out/results.md").read_text().strip().splitlines()
    assert "detection boxes, map" in head
    assert found["data_fingerprint"][:12] in row


def test_the_encoder_is_trained_on_request_and_results_say_so(evaluate: Any, other_checkpoint: Path) -> None:
    before = other_checkpoint.read_bytes()
    found = evaluate(*SHAPES, "--data.dense", "true", "--detection.freeze", "false", "--detection.layer_decay", "0.5")
    for records in (found, found["baselines"]["random"]):
        record = records["detection"]["boxes"]
        assert (record["encoder"], record["layer_decay"]) == ("fine-tuned", 0.5)
    assert found["baselines"]["pixels"] == {}  # which have nothing to train
    assert other_checkpoint.read_bytes() == before
    said = evaluate(*SHAPES, "--data.dense", "true")
    assert "detection in the results is over a fine-tuned encoder, and a frozen one is asked for" in said


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--detection.layer_decay", "0.5"), "layer_decay is for an encoder that is trained"),
        (("--detection.freeze", "false", "--detection.layer_decay", "0"), "is out of range"),
        (("--detection.freeze", "false", "--detection.layer_decay", "x"), "detection.layer_decay"),
        (("--detection.freeze", "maybe"), "detection.freeze"),
    ],
)
def test_options_of_the_encoder_that_are_wrong_end_in_one_line(evaluate: Any, arguments: Any, message: str) -> None:
    assert message in evaluate(*SHAPES, "--data.dense", "true", *arguments)


def test_boxes_in_a_file_are_detected_and_a_changed_file_is_noticed(evaluate: Any, images: dict[str, Any]) -> None:
    save(images)
    found = evaluate(*COCO, "--data.val_fraction", "0.4", "--baselines", "false")
    assert set(found["detection"]["boxes"]["classes"]) <= {"cat", "dog"}
    assert found["detection"]["boxes"]["samples"] == 8
    images["annotations"][0]["bbox"] = [10, 8, 16, 13]
    save(images)
    said = evaluate(*COCO, "--data.val_fraction", "0.4", "--baselines", "false")
    assert "is of another evaluation (data_fingerprint differ)" in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda found: found["categories"].append({"id": 5, "name": "owl"}), "val.json has the category 'owl', which"),
        (lambda found: found["annotations"][0].update(bbox=[0, 0, 99, 9]), "1 of 13 boxes are empty or reach out"),
        (lambda found: found["images"][0].update(file_name="../secret.png"), "leads out of the folder"),
        (lambda found: found["images"][0].update(file_name="none.png"), "1 of 20 images of val.json are missing"),
        (lambda found: found["annotations"].clear(), "none of the test images shows a box"),
    ],
)
def test_files_that_are_wrong_end_in_one_line(evaluate: Any, images: dict[str, Any], change: Any, message: str) -> None:
    save(images)
    change(images)
    save(images, "val")
    assert message in evaluate(*COCO, "--data.val", "val.json")


def test_what_cannot_be_detected_ends_in_one_line(
    evaluate: Any, images: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "there is no file of annotations train.json" in evaluate(*COCO)
    save({"images": images["images"]})
    assert "train.json has no list 'annotations'" in evaluate(*COCO)
    assert "the data have no boxes with classes for each image" in evaluate(*SHAPES)
    monkeypatch.setattr(average_precision, "find_spec", lambda name: None)
    assert "detection needs pycocotools: pip install 'jepa_lightning[detection]'" in evaluate(*SHAPES)
