"""Runs that are killed, stopped or requeued at any moment resume and end with the bits of an undisturbed run."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning.checkpoints import last_checkpoint, read_shards

SLURM_CONFIG = Path(__file__).parents[1] / "configs" / "trainer" / "slurm.yaml"
RUN = ["--data.batch_size=4", "--data.num_train=128", "--trainer.accumulate_grad_batches=2", "--ckpt_path=auto"]
MANY_STEPS = [
    *RUN, "--trainer.max_steps=120", "--trainer.val_check_interval=10",
    "--trainer.callbacks=OnlineLinearProbe", "--trainer.callbacks+=CollapseMonitor",
    "--trainer.callbacks+=LastCheckpoint", "--trainer.callbacks.every_n_steps=2", "--trainer.callbacks+=beat.Beat",
]  # fmt: skip
FEW_STEPS = [
    *RUN, "--trainer.max_steps=12", "--trainer.val_check_interval=10",
    "--trainer.callbacks=OnlineLinearProbe", "--trainer.callbacks+=CollapseMonitor",
]  # fmt: skip
# dropout and the directions of SIGReg draw at every step
WORLD = """
model:
  class_path: WorldModel
  init_args: {encoder: vit_tiny, width: 48, depth: 1, heads: 3, patch_size: 13, pool: class, projector: 16,
    predictor: adaln, predictor_depth: 1, predictor_heads: 2, predictor_head_width: 8, predictor_hidden: 32,
    dropout: 0.1, prediction: teacher_forcing, history: 4, num_frames: 5, similarity: 0.0, sigreg: 0.09,
    num_directions: 16}
data:
  class_path: TwoRoomsDataModule
  init_args: {num_val: 16, num_frames: 5, num_workers: 0}
trainer:
  accelerator: cpu
  num_sanity_val_steps: 0
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
"""
# a byte for every batch of rank 0
BEAT = """
from lightning.pytorch import Callback

class Beat(Callback):
    def on_train_batch_start(self, trainer, *_):
        if trainer.is_global_zero:
            with open("beats", "ab") as beats:
                beats.write(b".")
"""

# each rank is sent a signal once, in the middle of its sixth step, where Lightning would save a state between two steps
SIGNAL = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class Signal(Callback):
    def __init__(self, name: str, ranks: list[int]) -> None:
        self.name, self.ranks = name, ranks

    def send(self, trainer, hook):
        if trainer.global_step == 5 and hook == trainer.global_rank and hook in self.ranks:
            sent = Path(f"sent{hook}")
            if not sent.exists():
                sent.touch()
                os.kill(os.getpid(), getattr(signal, self.name))

    def on_train_batch_start(self, trainer, *_):
        self.send(trainer, 0)

    def on_before_zero_grad(self, trainer, *_):
        self.send(trainer, 1)
"""
# SLURM ends a job that is requeued by SIGTERM
SCONTROL = """#!/bin/sh
echo "$@" >> calls
kill -TERM $PPID
"""


def last(folder: Path) -> Path:
    (method,) = (folder / "logs").iterdir()
    found = last_checkpoint(method)
    assert found is not None
    return found


def load(path: Path) -> Any:
    return read_shards(path) if path.is_dir() else torch.load(path, weights_only=True)


def wait_for(what: Callable[[], bool], processes: list[int]) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert time.monotonic() < deadline
        for process in processes:
            os.kill(process, 0)  # raises when it is gone
        time.sleep(0.0005)


def beats(folder: Path) -> int:
    file = folder / "beats"
    return file.stat().st_size if file.exists() else 0


def kill_somewhere(jobs: Any, kind: str, chance: random.Random, arguments: list[str]) -> bool:
    """Starts, kills and looks at what is left; whether a checkpoint was being written."""
    folder = jobs.folder / "killed"
    before = beats(folder)
    ranks = jobs.start("killed", *arguments)
    batches = chance.randrange(4, 13)
    wait_for(lambda: beats(folder) > before + batches, ranks)
    time.sleep(0.03 * chance.random())
    if kind == "while writing":
        wait_for(lambda: being_written(folder), ranks)
    for victim in [chance.choice(ranks)] if kind == "one rank" else ranks:
        os.kill(victim, signal.SIGKILL)
    codes = jobs.exit_codes(120)  # the other rank must end by itself
    assert -signal.SIGKILL in codes
    assert 0 not in codes, "the run was over before it could be killed"
    for path in folder.glob("logs/*/*/checkpoints/*.ckpt"):
        assert load(path)["state_dict"]
    return being_written(folder)


def being_written(folder: Path) -> bool:
    return any(folder.glob("logs/*/*/checkpoints/.unfinished"))


def kill_many_times(jobs: Any, same_run: Any, arguments: list[str], times: int, steps: int) -> None:
    """Compares a run of two ranks that is killed, each time at another moment, with one that is not."""
    folder: Path = jobs.folder
    (folder / "beat.py").write_text(BEAT)
    arguments = ["fit", *arguments, "--trainer.devices=2", f"--trainer.max_steps={steps}"]
    jobs.run("whole", *arguments)
    chance = random.Random(0)
    kinds = (["one rank", "both ranks", "while writing"] * times)[:times]
    chance.shuffle(kinds)
    torn = [kill_somewhere(jobs, kind, chance, arguments) for kind in kinds]
    assert any(torn), "no checkpoint was ever being written"
    assert load(last(folder / "killed"))["global_step"] > 2 * times, "most of them began anew"
    jobs.run("killed", *arguments)
    same_run(load(last(folder / "whole")), load(last(folder / "killed")), steps)


@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "times", "steps"), [("ddp", 20, 110), ("fsdp2", 6, 50)])
def test_two_ranks_that_are_killed_many_times_end_with_the_bits_of_an_undisturbed_run(
    jobs: Any, same_run: Any, tiny_cli: str, tmp_path: Path, strategy: str, times: int, steps: int
) -> None:
    arguments = [f"--config={tmp_path / tiny_cli}", *MANY_STEPS, f"--trainer.strategy={strategy}"]
    kill_many_times(jobs, same_run, arguments, times, steps)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_a_world_model_that_is_killed_many_times_ends_with_the_bits_of_an_undisturbed_run(
    jobs: Any, same_run: Any, tmp_path: Path, strategy: str
) -> None:
    (tmp_path / "world.yaml").write_text(WORLD)
    arguments = [f"--config={tmp_path / 'world.yaml'}", *MANY_STEPS, f"--trainer.strategy={strategy}"]
    arguments = [each.replace("OnlineLinearProbe", "OnlineRegressionProbe") for each in arguments]
    kill_many_times(jobs, same_run, arguments, times=6, steps=50)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_run_with_workers_that_is_killed_ends_with_the_bits_of_an_undisturbed_one(
    jobs: Any, same_run: Any, tiny_cli: str, tmp_path: Path, seed: int
) -> None:
    (tmp_path / "beat.py").write_text(BEAT)
    arguments = ["fit", f"--config={tmp_path / tiny_cli}", *MANY_STEPS, "--data.num_workers=2"]
    jobs.run("whole", *arguments, ranks=1)
    folder, chance = tmp_path / "killed", random.Random(seed)
    process = jobs.start("killed", *arguments, ranks=1)
    batches = chance.randrange(40, 160)
    wait_for(lambda: beats(folder) > batches, process)
    os.kill(process[0], signal.SIGKILL)
    assert jobs.exit_codes(120) == [-signal.SIGKILL]
    jobs.run("killed", *arguments, ranks=1)
    same_run(load(last(tmp_path / "whole")), load(last(folder)), 120)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "devices", "ranks"), [("auto", 1, "[0]"), ("ddp", 2, "[1]"), ("fsdp2", 2, "[0,1]")]
)
def test_sigterm_saves_at_the_end_of_the_step_and_ends_the_run(
    jobs: Any, same_run: Any, tiny_cli: str, tmp_path: Path, strategy: str, devices: int, ranks: str
) -> None:
    (tmp_path / "sending.py").write_text(SIGNAL)
    arguments = ["fit", f"--config={tmp_path / tiny_cli}", *FEW_STEPS]
    arguments += [f"--trainer.strategy={strategy}", f"--trainer.devices={devices}"]
    sending = ["--trainer.callbacks+=sending.Signal", "--trainer.callbacks.name=SIGTERM"]
    jobs.run("whole", *arguments, ranks=devices)
    said = jobs.run(
        "stopped",
        *arguments,
        *sending,
        f"--trainer.callbacks.ranks={ranks}",
        ranks=devices,
        codes={128 + signal.SIGTERM},
    )
    step = 5 + devices  # on several ranks a signal is known to all of them one step later
    assert f"SIGTERM: the run resumes from step {step} with --ckpt_path last" in said
    assert load(last(tmp_path / "stopped"))["global_step"] == step
    jobs.run("stopped", *arguments, ranks=devices)
    same_run(load(last(tmp_path / "whole")), load(last(tmp_path / "stopped")), 12)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_the_first_measure_after_a_stop_is_that_of_an_undisturbed_run(
    jobs: Any, same_run: Any, tmp_path: Path, strategy: str
) -> None:
    """Statistics of batch norms are the same on all ranks, since checkpoints have those of the first one."""
    (tmp_path / "sending.py").write_text(SIGNAL)
    (tmp_path / "world.yaml").write_text(WORLD)
    arguments = ["fit", f"--config={tmp_path / 'world.yaml'}", *RUN, "--trainer.max_steps=12", "--trainer.devices=2"]
    arguments += [f"--trainer.strategy={strategy}", "--trainer.callbacks=OnlineRegressionProbe"]
    arguments += ["--trainer.callbacks+=CollapseMonitor", "--trainer.callbacks.memory=112"]  # full after 7 steps
    sending = ["--trainer.callbacks+=sending.Signal", "--trainer.callbacks.name=SIGTERM"]
    sending += ["--trainer.callbacks.ranks=[1]"]
    jobs.run("whole", *arguments)
    jobs.run("stopped", *arguments, *sending, codes={128 + signal.SIGTERM})
    found = load(last(tmp_path / "stopped"))
    assert (found["global_step"], found["callbacks"]["CollapseMonitor"]["bell"]["first"]) == (7, {})
    jobs.run("stopped", *arguments)
    assert load(last(tmp_path / "whole"))["callbacks"]["CollapseMonitor"]["bell"]["first"]
    same_run(load(last(tmp_path / "whole")), load(last(tmp_path / "stopped")), 12)


@pytest.mark.slow
def test_slurm_requeues_the_job_and_the_same_command_continues(
    jobs: Any, same_run: Any, tiny_cli: str, tmp_path: Path
) -> None:
    (tmp_path / "sending.py").write_text(SIGNAL)
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(SCONTROL)
    scontrol.chmod(0o755)
    slurm = {
        "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "RANK", "SLURM_LOCALID": "RANK",
        "SLURM_NODEID": "0", "SLURM_JOB_ID": "4321", "SLURM_JOB_NAME": "train",
        "PATH": f"{scontrol.parent}:{os.environ['PATH']}",
    }  # fmt: skip
    arguments = ["fit", f"--config={tmp_path / tiny_cli}", *FEW_STEPS[:-1], "--trainer.devices=2"]
    jobs.run("whole", *arguments, "--trainer.strategy=ddp")
    arguments += [f"--config={SLURM_CONFIG}", "--trainer.strategy=ddp", "--trainer.callbacks+=sending.Signal"]
    arguments += ["--trainer.callbacks.name=SIGUSR1", "--trainer.callbacks.ranks=[0,1]"]
    for code in (128 + signal.SIGTERM, 0):
        jobs.start("job", *arguments, variables=slurm)
        assert jobs.exit_codes(120) == [code, code], (tmp_path / "job" / "log").read_text()[-3000:]
        assert (tmp_path / "job" / "calls").read_text() == "requeue 4321\n"
    files = sorted(path.relative_to(tmp_path / "job/logs").as_posix() for path in tmp_path.glob("job/logs/**/*.ckpt"))
    assert files == ["IJEPA/version_0/checkpoints/best.ckpt", "IJEPA/version_0/checkpoints/last.ckpt"]
    same_run(load(last(tmp_path / "whole")), load(last(tmp_path / "job")), 12)


# SIGTERM to the second rank alone, in a validation or between the last step and the end
LATE_SIGNAL = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class Late(Callback):
    def __init__(self, where: str) -> None:
        self.where = where

    def send(self, trainer, where):
        if trainer.global_rank == 1 and where == self.where and not Path("sent").exists():
            Path("sent").touch()
            os.kill(os.getpid(), signal.SIGTERM)

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx):
        if trainer.global_step == 5 and batch_idx == 1:
            self.send(trainer, "validation")

    def on_train_end(self, trainer, *_):
        self.send(trainer, "end")
"""
# each rank says it has as many batches as the other, and has not
UNEVEN = """
import torch
from torch.utils.data import DataLoader, IterableDataset
from jepa_lightning.data import ShapesDataModule
from jepa_lightning.distributed import rank

class Uneven(IterableDataset):
    def __init__(self, images, collate):
        self.images, self.collate = images, collate

    def __len__(self):
        return 4

    def __iter__(self):
        for number in range(3 + rank()):
            yield self.collate([self.images[number], self.images[number + 1]])

class UnevenShapes(ShapesDataModule):
    def val_dataloader(self):
        loader = super().val_dataloader()
        return DataLoader(Uneven(loader.dataset, loader.collate_fn), batch_size=None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_sigterm_to_one_rank_in_a_validation_ends_both_and_the_validation_is_repeated(
    jobs: Any, same_run: Any, tiny_cli: str, tmp_path: Path, strategy: str
) -> None:
    (tmp_path / "late.py").write_text(LATE_SIGNAL)
    arguments = ["fit", f"--config={tmp_path / tiny_cli}", *FEW_STEPS, "--trainer.devices=2"]
    arguments += [f"--trainer.strategy={strategy}"]
    late = ["--trainer.callbacks+=late.Late", "--trainer.callbacks.where=validation"]
    jobs.run("whole", *arguments)
    said = jobs.run("stopped", *arguments, *late, codes={128 + signal.SIGTERM})
    assert "SIGTERM: the run resumes from step 5 with --ckpt_path last" in said
    jobs.run("stopped", *arguments)
    same_run(load(last(tmp_path / "whole")), load(last(tmp_path / "stopped")), 12)


@pytest.mark.slow
def test_sigterm_to_one_rank_after_the_last_step_lets_both_end(jobs: Any, tiny_cli: str, tmp_path: Path) -> None:
    (tmp_path / "late.py").write_text(LATE_SIGNAL)
    arguments = ["fit", f"--config={tmp_path / tiny_cli}", *FEW_STEPS, "--trainer.devices=2", "--trainer.strategy=ddp"]
    jobs.run("job", *arguments, "--trainer.callbacks+=late.Late", "--trainer.callbacks.where=end")
    assert (tmp_path / "job" / "sent").exists()
    assert load(last(tmp_path / "job"))["global_step"] == 12


@pytest.mark.slow
def test_ranks_whose_validations_differ_in_length_do_not_wait_for_each_other(
    jobs: Any, tiny_cli: str, tmp_path: Path
) -> None:
    (tmp_path / "uneven.py").write_text(UNEVEN)
    arguments = [
        "fit",
        f"--config={tmp_path / tiny_cli}",
        *RUN,
        "--trainer.max_steps=6",
        "--trainer.val_check_interval=4",
    ]
    arguments += [
        "--data=uneven.UnevenShapes",
        "--trainer.devices=2",
        "--trainer.strategy=ddp",
        "--trainer.callbacks=[]",
    ]
    jobs.run("job", *arguments)
    assert load(last(tmp_path / "job"))["global_step"] == 6
