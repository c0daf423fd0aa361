"""A run that is killed at any moment goes on from its last checkpoint and ends with the same bits."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.yaml"
RUN = [
    sys.executable, "-m", "jepa_lightning", "fit", f"--config={QUICKSTART}",
    "--model.width=48", "--model.heads=3", "--model.depth=2", "--model.target_layers=2", "--model.predictor_dim=24",
    "--data.num_train=128", "--data.num_val=32", "--data.batch_size=16", "--data.num_workers=2",
    "--trainer.accelerator=cpu", "--trainer.accumulate_grad_batches=2", "--trainer.max_steps=60",
    "--trainer.val_check_interval=6", "--trainer.enable_progress_bar=false",
]  # fmt: skip


def start(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    return subprocess.Popen(
        [*RUN, *more], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def last(folder: Path) -> Path:
    return folder / "logs" / "IJEPA" / "version_0" / "checkpoints" / "last.ckpt"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_and_resumed_run_ends_with_the_bits_of_an_undisturbed_one(tmp_path: Path, seed: int) -> None:
    assert start(tmp_path / "whole").wait(300) == 0
    killed = start(tmp_path / "killed")
    deadline = time.monotonic() + 200
    while not last(tmp_path / "killed").exists():
        assert killed.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(random.Random(seed).random())
    os.killpg(killed.pid, signal.SIGKILL)  # the workers too
    assert killed.wait() == -signal.SIGKILL, "the run was over before it could be killed"
    before = torch.load(last(tmp_path / "killed"), weights_only=True)["global_step"]
    assert before < 60
    assert start(tmp_path / "killed", "--ckpt_path=last").wait(300) == 0
    whole, resumed = (torch.load(last(tmp_path / name), weights_only=True) for name in ("whole", "killed"))
    assert whole["global_step"] == resumed["global_step"] == 60
    assert whole["state_dict"].keys() == resumed["state_dict"].keys()
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, resumed["state_dict"][name]), name
    probes = [key for key in whole["callbacks"] if "OnlineLinearProbe" in key]
    assert len(probes) == 1
    for a, b in zip(flat(whole["callbacks"][probes[0]]), flat(resumed["callbacks"][probes[0]]), strict=True):
        assert torch.equal(a, b)


def flat(state: object) -> list[torch.Tensor]:
    """The tensors of a nested state, in order."""
    if isinstance(state, torch.Tensor):
        return [state]
    children = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else []
    return [tensor for child in children for tensor in flat(child)]
