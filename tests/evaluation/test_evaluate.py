import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from jepa_lightning.data.pipelines import Pipeline, eval_view
from jepa_lightning.evaluation import evaluate as evaluating
from jepa_lightning.evaluation.evaluate import Evaluation, evaluate, pixel_labels
from jepa_lightning.evaluation.protocols import NAMES
from jepa_lightning.evaluation.subjects import Subject
from jepa_lightning.evaluation.tasks import Settings
from jepa_lightning.evaluation.tuned_detection import DetectionOptions
from jepa_lightning.types import Batch

VIEW = eval_view((32, 32), (0.5,) * 3, (0.5,) * 3)
Build = Callable[..., Evaluation]


@pytest.fixture
def build(tmp_path: Path, shapes: Any) -> Build:
    """Pixels of scenes, to be evaluated in a folder."""
    data = shapes(num_train=32, num_val=16, pipeline=Pipeline(VIEW, VIEW))
    data.setup()
    loaders = data.memory_dataloader(), data.test_dataloader()

    def built(subject: Subject | None = None, **options: Any) -> Evaluation:
        own = {"loaders": loaders, "data": "data", "folder": tmp_path, "settings": Settings(), **options}
        return Evaluation(subject or Subject("pixels"), **own)

    return built


def fake(monkeypatch: pytest.MonkeyPatch, name: str = "knn") -> list[str]:
    """A protocol that notes each label it is run on."""
    run: list[str] = []

    def protocol(task: Any, train: Any, test: Any, settings: Any) -> Any:
        run.append(task.name)
        return None if (name, task.name) == ("regression", "count") else {"accuracy": len(run) / 8}

    monkeypatch.setitem(evaluating.POOLED, name, protocol)
    return run


def test_a_protocol_is_run_once_for_each_label_whatever_has_stopped_the_run(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fake(monkeypatch)
    found = build(labels=["shape", "count"]).records("knn")
    assert found == {"shape": {"accuracy": 0.125}, "count": {"accuracy": 0.25}}
    assert build(labels=["shape", "count"]).records("knn") == found
    assert run == ["shape", "count"]


@pytest.mark.parametrize(
    "change",
    [{"labels": ["count"]}, {"settings": Settings(seed=1)}, {"settings": Settings("published")}, {"data": "other"},
     {"subject": Subject("pixels", patch=4)}],
)  # fmt: skip
def test_what_changes_the_figures_is_computed_again(
    change: dict[str, Any], build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fake(monkeypatch)
    build(labels=["shape"]).records("knn")
    build(**{"labels": ["shape"], **change}).records("knn")
    assert len(run) == 2


def test_options_of_detection_and_of_finetuning_count_for_these_alone(build: Build) -> None:
    plain = build()
    other = build(finetune={"epochs": 2}, detection=DetectionOptions(freeze=False))
    changed = {name for name in NAMES if plain._key(name) != other._key(name)}
    assert changed == {"finetune", "detection"}
    assert len({plain._key(name) for name in NAMES}) == len(NAMES)


def test_labels_that_a_protocol_is_not_for_are_left_out_and_all_of_them_refused(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, "regression")
    assert build(labels=["count", "shape"]).records("regression").keys() == {"shape"}
    with pytest.raises(ValueError, match="regression is for labels that are numbers"):
        build(labels=["count"]).records("regression")
    assert len([*(build().folder / "finished").glob("*.json")]) == 1


def test_pixels_have_neither_tokens_nor_weights(build: Build, tiny_ijepa: Any) -> None:
    pixels, module = build(), build(Subject("checkpoint", tiny_ijepa()))
    assert [name for name in NAMES if not pixels.serves(name)] == ["attentive", "finetune"]
    assert all(module.serves(name) for name in NAMES)
    assert not build(detection=DetectionOptions(freeze=False)).serves("detection")


@pytest.mark.parametrize(
    ("protocol", "said"), [("segmentation", "have no mask"), ("detection", "have no boxes with cl")]
)
def test_data_without_labels_of_pixels_are_refused(protocol: str, said: str, build: Build) -> None:
    with pytest.raises(ValueError, match=rf"{said}.*which {protocol} needs: give data with labels of pixels"):
        build().records(protocol)


def test_tokens_that_the_disk_does_not_take_are_refused(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    one = 16 * 3 * 8 * 8 * 2  # of an image of 32 pixels
    for free, fits in ((48 * one - 1, False), (48 * one, True)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        if fits:
            assert build().tokens[0].features["tokens"].shape == (32, 16, 192)
        else:
            with pytest.raises(ValueError, match=r"tokens of all samples take 0\.0 GB more, and .* has 0\.0 GB:"):
                _ = build().tokens


def test_labels_of_pixels_are_kept_in_small_types() -> None:
    extras = {"mask": torch.full((2, 4, 4), 255), "depth": torch.ones(2, 4, 4).double(), "actions": torch.ones(2, 3)}
    found = pixel_labels(Batch([torch.ones(2, 3, 4, 4)], extras=extras))
    assert {name: value.dtype for name, value in found.items()} == {"mask": torch.uint8, "depth": torch.float32}
    assert int(found["mask"].max()) == 255


class Known:
    """An evaluation with known records."""

    def __init__(self, name: str, *served: str) -> None:
        self.subject, self.served = Subject(name), served

    def serves(self, protocol: str) -> bool:
        return protocol in self.served

    def records(self, protocol: str) -> Any:
        return {"shape": {"of": f"{self.subject.name} {protocol}"}}


def test_the_first_is_judged_and_the_others_are_baselines_as_far_as_they_serve() -> None:
    said: list[str] = []
    given: Any = [Known("checkpoint", "knn", "attentive"), Known("random", "knn"), Known("pixels")]
    assert evaluate(given, ["knn", "attentive"], said.append) == {
        "knn": {"shape": {"of": "checkpoint knn"}},
        "attentive": {"shape": {"of": "checkpoint attentive"}},
        "baselines": {"random": {"knn": {"shape": {"of": "random knn"}}}, "pixels": {}},
    }
    assert said == ["checkpoint: knn is done.", "checkpoint: attentive is done.", "random: knn is done."]
    assert evaluate(given[:1], ["knn"])["baselines"] == {}


def test_what_is_kept_is_refused_where_the_disk_has_damaged_it(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    run = fake(monkeypatch)
    build(labels=["shape"]).records("knn")
    (path,) = (build().folder / "finished").glob("*.json")
    path.write_bytes(path.read_bytes().replace(b"0.125", b"0.875"))
    with pytest.raises(ValueError, match=rf"{path.name} is damaged: remove it"):
        build(labels=["shape"]).records("knn")
    path.unlink()
    build(labels=["shape"]).records("knn")
    assert run == ["shape"] * 2
