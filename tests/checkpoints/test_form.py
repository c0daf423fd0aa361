from pathlib import Path
from typing import Any

import pytest

from jepa_lightning.checkpoints.form import check_form

PATH = Path("last.ckpt")
GOOD: dict[str, Any] = {
    "pytorch-lightning_version": "2.6.0", "state_dict": {}, "epoch": 1, "global_step": 3,
    "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 2, "started": True}}}},
    "hyper_parameters": {"width": 3, "_instantiator": "lightning.pytorch.cli.instantiate_module"},
}  # fmt: skip


def test_what_lightning_saves_is_taken_as_it_is() -> None:
    assert check_form(GOOD, PATH, "state_dict") is GOOD


@pytest.mark.parametrize(
    ("content", "line"),
    [
        ([1], "it holds a list, and lacks pytorch-lightning_version and state_dict"),
        ({}, "it holds an empty dict, and lacks pytorch-lightning_version and state_dict"),
        ({"model": {}}, "it holds a dict of model, and lacks pytorch-lightning_version and state_dict"),
        (
            {"epoch": 1, "arch": "vit", "state_dict": {}, "optimizer": {}},
            r"it holds a dict of epoch, arch, state_dict, \.\.\., and lacks pytorch-lightning_version\. Weights",
        ),
    ],
)
def test_what_another_code_base_saves_is_not_taken(content: Any, line: str) -> None:
    with pytest.raises(ValueError, match=f"^last.ckpt is not a Lightning checkpoint: {line}"):
        check_form(content, PATH, "state_dict")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"global_step": -5}, "its global_step is -5"),
        ({"global_step": "5"}, "its global_step is '5'"),
        ({"epoch": -1}, "its epoch is -1"),
        ({"loops": {"fit_loop": {"epoch_progress": {"total": {"ready": -2}}}}}, "a counter of its loops is -2"),
        ({"state_dict": [1]}, "its state_dict is a list, not a dict"),
        ({"state_dict": {3: None}}, "3 in its state_dict is not the name of a tensor"),
        ({"hyper_parameters": 3}, "its hyper_parameters is a int, not a dict"),
        ({"hyper_parameters": {"--trainer.devices 8": 3}}, "is not the name of an option"),
        ({"hyper_parameters": {"class_path": "os.system"}}, "'class_path' is not the name of an option"),
        ({"hyper_parameters": {"_instantiator": "os.mkdir"}}, "names 'os.mkdir' to build its model with"),
    ],
)  # fmt: skip
def test_what_no_run_saves_is_named(change: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        check_form({**GOOD, **change}, PATH, "state_dict")
