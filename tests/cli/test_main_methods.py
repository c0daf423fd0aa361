"""Another method is another name on the command line."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import modules
from jepa_lightning.cli.main import main
from jepa_lightning.cli.methods import methods_table

FAST = ("SimCLR", "DINO", "MAE")
SLOW = ("BYOL", "MoCo", "SimSiam", "VICReg", "BarlowTwins", "LeJEPA")
# heads of tens of millions of weights would fill the disk, and those of 8192 the memory
UNSAVED = ("--trainer.max_steps", "2", "--trainer.enable_checkpointing", "false")
NARROW = ("--model.projector_dim", "1024")


def test_methods_prints_the_table(capsys: Any) -> None:
    main(["methods"])
    printed = capsys.readouterr()
    assert printed.out == methods_table() + "\n"
    assert printed.err == ""


def test_none_is_left_out() -> None:
    known = {name for name in modules.__all__ if getattr(modules, name).traits is not None}
    # clips and trajectories: tests/modules/test_vjepa_training.py, test_world_model.py
    assert known == {"IJEPA", "VJEPA", "WorldModel", *FAST, *SLOW}


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_the_name_alone_runs_another_method(tiny_cli: str, capsys: Any, name: str) -> None:
    narrow = NARROW if name in ("VICReg", "BarlowTwins") else ()
    main(["fit", "--config", tiny_cli, "--model", name, *narrow, *UNSAVED])
    seen = capsys.readouterr()
    assert f"{name} on ShapesDataModule: 2 steps" in seen.out
    assert "trained" in seen.out  # the probes' table
    assert Path(f"logs/{name}/version_0/config.yaml").is_file()


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_run_that_was_stopped_continues_with_options_of_the_method(tiny_cli: str, version: str) -> None:
    options = ["--model", "MoCo", "--model.version", version, "--model.projector_hidden", "64"]
    options += ["--model.lr", "0.01", *(["--model.queue_size", "32"] if version == "v2" else [])]
    main(["fit", "--config", tiny_cli, *options, "--trainer.max_steps", "2"])
    main(["fit", "--config", tiny_cli, *options, "--trainer.max_steps", "4", "--ckpt_path", "last"])
    saved = torch.load("logs/MoCo/version_0/checkpoints/last.ckpt", weights_only=True)
    assert saved["global_step"] == 4
    assert saved["hyper_parameters"]["version"] == version
    assert saved["state_dict"].get("queue.place") == (None if version == "v3" else 4 * 16 % 32)
    options = ["--model", "MoCo", "--ckpt_path", "logs/MoCo/version_0/checkpoints/last.ckpt"]
    main(["predict", *options, "--data", "ShapesDataModule", "--data.num_train=16", "--data.num_val=16"])
    assert Path("features.npz").is_file()


def test_options_of_the_optimizer_by_name(tiny_cli: str) -> None:
    lars = ["--model.optimizer", "lars", "--model.optimizer_options", "{trust_coeff: 0.02, momentum: 0.8}"]
    small = ["--model", "BarlowTwins", "--model.projector_dim", "32", "--trainer.max_steps", "1"]
    main(["fit", "--config", tiny_cli, *small, *lars])
    saved = torch.load("logs/BarlowTwins/version_0/checkpoints/last.ckpt", weights_only=True)
    (state,) = saved["optimizer_states"]
    assert [(group["trust_coeff"], group["momentum"]) for group in state["param_groups"]] == [(0.02, 0.8)] * 4
    assert saved["hyper_parameters"]["optimizer_options"] == {"trust_coeff": 0.02, "momentum": 0.8}


@pytest.mark.parametrize(
    ("args", "line", "code"),
    [
        ("SimCLR --model.encoder resnet18", "width and depth and heads cannot be set for resnet18, which has its ", 1),
        (
            "SimCLR --model.encoder resnet18 --model.width=null --model.depth=null --model.heads=null "
            "--model.patch_size=8",
            "patch_size=8 has no effect, since resnet18 has no patches whose size can be set: leave it out.",
            1,
        ),
        ("BYOL --model.encoder vit_tinny", "there is no encoder 'vit_tinny': did you mean vit_tiny", 1),
        ("BYOL --model.stem cifar", "stem 'cifar' is for ResNets like resnet18, not for vit_tiny.", 1),
        ("MoCo --model.version v4", "model.version: expected one of 'v2', 'v3', got v4", 2),
        (
            "DINO --model.student_temperature 0",
            "DINO: student_temperature=0 is out of range: give a number in (0, 1e6].",
            1,
        ),
        ("SimCLR --model.temperature 0", "SimCLR: temperature=0 is out of range: give a number in (0, 1e6].", 1),
        ("MAE --model.mask_ratio 1", "MAE: mask_ratio=1 is out of range: give a number in (0, 1).", 1),
        ("MAE --model.temperature 1", "MAE has no option 'temperature'", 2),
        ("LeJEPA --model.num_locals 2", "LeJEPA has no option 'num_locals': did you mean 'num_local'?", 2),
        (
            "BYOL --model.projector_hidden 32 --model.optimizer_options '{trust_coef: 1}'",
            "optimizer 'lars' does not take the optimizer_options {'trust_coef': 1",
            1,
        ),
    ],
)
def test_options_of_methods_that_do_not_work_end_in_one_line(
    tiny_cli: str, capsys: Any, args: str, line: str, code: int
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["fit", "--config", tiny_cli, "--model", *shlex.split(args)])
    seen = capsys.readouterr().err
    assert "Traceback" not in seen
    assert seen.splitlines()[-1].startswith(f"jepa-lightning: error: {line}")
    assert stop.value.code == code
