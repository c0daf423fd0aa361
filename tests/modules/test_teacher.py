from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from jepa_lightning.modules.checkpoint_encoder import CheckpointEncoder
from jepa_lightning.modules.frozen_encoder import FrozenEncoder
from jepa_lightning.modules.teacher import check_teacher, open_teacher, with_statistics
from jepa_lightning.nn.encoder_spec import encoder_spec

METHOD = "jepa_lightning.modules.simclr.SimCLR"
OPTIONS: dict[str, Any] = {
    "encoder": "vit_tiny", "width": 24, "depth": 1, "heads": 3, "image_size": 16, "patch_size": 8, "in_channels": 2,
    "mean": [0.1, 0.2], "std": [0.5, 0.25],
}  # fmt: skip


@pytest.fixture
def teacher() -> FrozenEncoder:
    torch.manual_seed(0)
    return FrozenEncoder(METHOD, OPTIONS)


def test_a_teacher_is_taken_as_a_network_and_as_what_checkpoints_hold_of_it(teacher: FrozenEncoder) -> None:
    assert open_teacher(None) is None
    assert open_teacher(teacher) is teacher
    found = open_teacher(encoder_spec(teacher))
    assert isinstance(found, FrozenEncoder)
    assert found.hparams == teacher.hparams


@pytest.mark.parametrize(
    "given",
    ["vit_tiny", CheckpointEncoder(METHOD, OPTIONS), nn.Linear(2, 2), {"class_path": "none.Such", "init_args": {}}],
)
def test_what_is_no_finished_run_is_refused(given: Any) -> None:
    with pytest.raises(ValueError, match=r"(?s)^teacher=.* is no finished run: give a checkpoint \(\*\.ckpt\)"):
        open_teacher(given)


def test_a_checkpoint_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        open_teacher(str(tmp_path / "gone.ckpt"))


def test_a_student_sees_pixels_as_its_teacher(teacher: FrozenEncoder) -> None:
    given = {"mean": [0.1, 0.2], "std": None, "lr": 1e-3}  # lists, as in YAML
    before = dict(given)
    found = with_statistics(teacher, given)
    assert found == {"in_channels": 2, "mean": (0.1, 0.2), "std": (0.5, 0.25), "lr": 1e-3}
    assert given == before
    assert with_statistics(None, given) is given


@pytest.mark.parametrize(
    ("name", "value", "own"),
    [("in_channels", 3, "2"), ("mean", [0.1, 0.3], "(0.1, 0.2)"), ("std", (1.0,), "(0.5, 0.25)")],
)
def test_other_pixels_than_those_of_the_teacher_are_refused(
    teacher: FrozenEncoder, name: str, value: Any, own: str
) -> None:
    with pytest.raises(ValueError) as found:  # noqa: PT011
        with_statistics(teacher, {name: value})
    assert str(found.value) == f"{name} is {value}, and the teacher's is {own}: leave it out."


def test_tokens_must_stand_where_those_of_the_student_do(teacher: FrozenEncoder) -> None:
    def student(**attributes: Any) -> Any:
        return SimpleNamespace(**attributes)

    for fitting in ({}, {"patch": (8, 8)}, {"patch": None}, {"patch": (8, 8), "images": None}):
        check_teacher(teacher, student(**fitting))
    with pytest.raises(ValueError, match=r"^the teacher has patches of \(8, 8\), and the student \(4, 4\): give the"):
        check_teacher(teacher, student(patch=(4, 4)))
    with pytest.raises(ValueError, match=r"^the teacher has images= False, and the student True: give the student"):
        check_teacher(teacher, student(patch=(8, 8), images=True))
    check_teacher(teacher, student(images=False))
