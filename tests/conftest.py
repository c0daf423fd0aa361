import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from torch import distributed as dist
from torch.utils.data import BatchSampler, DataLoader

from jepa_lightning import IJEPA
from jepa_lightning.data import ShapesDataModule
from jepa_lightning.types import Batch

PATCHED = ("__init__", "__setattr__", "__delattr__")
# the tests' tensors are small, and a second thread waits for a core that another process may have
torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def no_group_outlives_its_test() -> Iterator[None]:
    """Strategies of one device leave theirs behind."""
    yield
    if dist.is_initialized():
        dist.destroy_process_group()


@pytest.fixture(autouse=True)
def no_patch_of_loaders_outlives_its_test() -> Iterator[None]:
    """Lightning wraps methods of loaders while one is built, and leaves them wrapped where that ends in an error."""
    saved = {cls: {name: vars(cls).get(name) for name in PATCHED} for cls in (DataLoader, BatchSampler)}
    yield
    for cls, methods in saved.items():
        for name, method in methods.items():
            if vars(cls).get(name) is not method:
                setattr(cls, name, method) if method else delattr(cls, name)
            if f"__old{name}" in vars(cls):
                delattr(cls, f"__old{name}")


@pytest.fixture
def tiny_ijepa() -> Callable[..., IJEPA]:
    def build(cls: type[IJEPA] = IJEPA, **options: Any) -> IJEPA:
        torch.manual_seed(0)
        defaults = {
            "encoder": "vit_tiny", "width": 48, "depth": 2, "heads": 3, "image_size": 32, "patch_size": 8,
            "predictor_depth": 1, "predictor_dim": 24, "num_targets": 2, "min_keep": 4,
        }  # fmt: skip
        return cls(**{**defaults, **options})

    return build


@pytest.fixture
def shapes() -> Callable[..., ShapesDataModule]:
    def build(**options: Any) -> ShapesDataModule:
        defaults = {"num_train": 64, "num_val": 16, "image_size": 32, "batch_size": 16, "num_workers": 0}
        return ShapesDataModule(**{**defaults, **options})

    return build


class Payload:
    """Makes an empty folder when a pickle of it is read without care."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


@pytest.fixture
def payload(tmp_path: Path) -> Iterator[Payload]:
    """What no file may run; it is checked that it has not."""
    found = Payload(tmp_path / "code was run")
    yield found
    assert not found.mark.exists()


@pytest.fixture
def quiet_trainer(tmp_path: Any) -> Callable[..., Trainer]:
    def build(**options: Any) -> Trainer:
        defaults = {
            "accelerator": "cpu", "devices": 1, "logger": False, "enable_checkpointing": False,
            "enable_progress_bar": False, "enable_model_summary": False, "default_root_dir": tmp_path,
        }  # fmt: skip
        return Trainer(**{**defaults, **options})

    return build


@pytest.fixture
def make_batch() -> Callable[..., Batch]:
    def build(module: IJEPA, size: int = 8, seed: int = 0) -> Batch:
        torch.manual_seed(seed)
        pipeline = module.pipeline()
        images = torch.randint(0, 256, (size, 3, 40, 40), dtype=torch.uint8)
        return pipeline.collate([(pipeline.eval_transform(image), i % 3) for i, image in enumerate(images)])

    return build


TINY_CLI = """
model:
  class_path: IJEPA
  init_args: {encoder: vit_tiny, width: 48, depth: 2, heads: 3, image_size: 32, patch_size: 8, predictor_depth: 1,
    predictor_dim: 24, num_targets: 2, min_keep: 4}
data:
  class_path: ShapesDataModule
  init_args: {num_train: 64, num_val: 32, image_size: 32, batch_size: 16, num_workers: 0}
trainer:
  accelerator: cpu
  devices: 1
  max_steps: 8
  num_sanity_val_steps: 0
  log_every_n_steps: 1
  enable_progress_bar: false
  enable_model_summary: false
  callbacks: [OnlineLinearProbe, {class_path: ProbeReport, init_args: {max_samples: 100}}]
"""


@pytest.fixture
def tiny_cli(tmp_path: Any, monkeypatch: Any) -> str:
    """A configuration for the command line, which works in a folder of its own and finds no arguments but ours."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["jepa-lightning"])
    (tmp_path / "tiny.yaml").write_text(TINY_CLI)
    return "tiny.yaml"


class Jobs:
    """`fork_server.py`, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder  # modules in it can be imported
        paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
        self.process = subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fork_server.py")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, start_new_session=True,
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self._read = b""

    def start(self, name: str, *arguments: str, ranks: int = 2, variables: dict[str, str] | None = None) -> list[int]:
        """The processes of a job that works in the folder of that name."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        request = {"arguments": arguments, "folder": str(folder), "ranks": ranks, "variables": variables or {}}
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(request).encode() + b"\n")
        return self._answer(120)

    def exit_codes(self, seconds: float) -> list[int]:
        """Waits for the job's end."""
        return self._answer(seconds)

    def run(self, name: str, *arguments: str, ranks: int = 2, codes: set[int] | None = None) -> str:
        """Runs a job to its end; what it has said."""
        log = self.folder / name / "log"
        log.unlink(missing_ok=True)
        self.start(name, *arguments, ranks=ranks)
        found = self.exit_codes(120)
        assert {*found} == ({0} if codes is None else codes), log.read_text()[-3000:]
        return log.read_text()

    def _answer(self, seconds: float) -> list[int]:
        stdout, deadline = self.process.stdout, time.monotonic() + seconds
        assert stdout is not None
        while b"\n" not in self._read:
            ready, _, _ = select.select([stdout], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"the job has not ended after {seconds} s"
            self._read += (more := os.read(stdout.fileno(), 4096))
            assert more, "the server has ended"
        line, _, self._read = self._read.partition(b"\n")
        answer: list[int] = json.loads(line)
        return answer


def bits(state: Any) -> Any:
    """A nested state, to be compared."""
    if isinstance(state, torch.Tensor):
        return str(state.dtype), tuple(state.shape), state.numpy().tobytes()
    if isinstance(state, dict):
        return {key: bits(value) for key, value in state.items()}
    return [bits(value) for value in state] if isinstance(state, (list, tuple)) else repr(state)


@pytest.fixture
def same_bits() -> Callable[[Any, Any], bool]:
    return lambda first, second: bool(bits(first) == bits(second))


def assert_same_run(whole: dict[str, Any], other: dict[str, Any], steps: int) -> None:
    """That two checkpoints have the same bits, in everything that a run is made of."""
    assert whole["global_step"] == other["global_step"] == steps
    names = [name for name, value in bits(whole["state_dict"]).items() if value != bits(other["state_dict"])[name]]
    assert not names
    for part in ("optimizer_states", "lr_schedulers"):
        assert bits(whole[part]) == bits(other[part])
    # those of checkpoints hold paths
    kept = [name for name in whole["callbacks"] if "Checkpoint" not in name]
    assert any(name.startswith(("OnlineLinearProbe", "OnlineRegressionProbe")) for name in kept)
    for name in kept:
        assert bits(whole["callbacks"][name]) == bits(other["callbacks"][name])


@pytest.fixture
def same_run() -> Callable[[dict[str, Any], dict[str, Any], int], None]:
    return assert_same_run


@pytest.fixture
def jobs(tmp_path: Path) -> Iterator[Jobs]:
    """Jobs of the command line on several ranks; none of them outlives the test."""
    jobs = Jobs(tmp_path)
    try:
        yield jobs
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(jobs.process.pid, signal.SIGKILL)
        jobs.process.wait()
