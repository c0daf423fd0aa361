"""A checkpoint of any strategy is resumed under any other, and loads on one CPU."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from jepa_lightning import IJEPA
from jepa_lightning.checkpoints import read_checkpoint, read_shards

# FSDP1, which Lightning leaves to GPUs
CPU_FSDP = """
from contextlib import contextmanager
import torch
from lightning.pytorch.strategies import FSDPStrategy
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.fsdp.wrap import enable_wrap

class CPUFSDP(FSDPStrategy):
    @contextmanager
    def model_sharded_context(self):
        def wrapper(module, sync_module_states=False, **options):
            return FullyShardedDataParallel(module, **options)
        with enable_wrap(wrapper_cls=wrapper, device_id=torch.device("cpu"), use_orig_params=True):
            yield
"""


def strategy(class_path: str, **options: Any) -> list[str]:
    return [f"--trainer.strategy={json.dumps({'class_path': class_path, 'init_args': options})}"]


FSDP1, FSDP2 = "cpu_fsdp.CPUFSDP", "jepa_lightning.FSDP2Strategy"
STRATEGIES = {
    "ddp": ["--trainer.strategy=ddp"],
    "fsdp2, shards": strategy(FSDP2),
    "fsdp2, one file": strategy(FSDP2, save_distributed_checkpoint=False),
    "fsdp1, shards": strategy(FSDP1, state_dict_type="sharded"),
    # FSDP1 gathers the optimizer's states for one file in a buffer that only those of GPUs are copied out of
}
READERS = {"one process": [], "ddp": STRATEGIES["ddp"], "fsdp2": strategy(FSDP2), "fsdp1": strategy(FSDP1)}


def run(jobs: Any, name: str, steps: int, options: list[str], *more: str) -> Path:
    """Trains on two ranks, or on one without a strategy; the last checkpoint."""
    ranks = 2 if options else 1
    size = [f"--trainer.devices={ranks}", f"--data.batch_size={16 // ranks}", f"--trainer.max_steps={steps}"]
    callbacks = ["--trainer.callbacks=LastCheckpoint", "--trainer.limit_val_batches=0"]
    jobs.run(name, "fit", f"--config={jobs.folder}/tiny.yaml", *size, *callbacks, *options, *more, ranks=ranks)
    path: Path = jobs.folder / name / "logs/IJEPA/version_0/checkpoints/last.ckpt"
    return path


def load(path: Path) -> dict[str, Any]:
    return read_shards(path) if path.is_dir() else torch.load(path, weights_only=True)


def momenta(checkpoint: dict[str, Any]) -> list[torch.Tensor]:
    """In the order of the optimizer's groups; names and numbers both occur."""
    (state,) = checkpoint["optimizer_states"]
    moved = [state["state"][name] for group in state["param_groups"] for name in group["params"]]
    return [values[momentum] for values in moved for momentum in ("exp_avg", "exp_avg_sq")]


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found["global_step"] == expected["global_step"]
    torch.testing.assert_close(found["state_dict"], expected["state_dict"], rtol=1e-4, atol=1e-5)
    for one, other in zip(momenta(found), momenta(expected), strict=True):
        assert other.abs().max() > 0
        assert (one - other).abs().max() < 1e-3 * other.abs().max() + 1e-12


@pytest.mark.slow
def test_every_strategy_continues_from_the_checkpoint_of_every_other(jobs: Any, tiny_cli: str, tmp_path: Path) -> None:
    (tmp_path / "cpu_fsdp.py").write_text(CPU_FSDP)
    written = {writer: run(jobs, f"by {writer}", 3, options) for writer, options in STRATEGIES.items()}
    folders = {writer for writer, path in written.items() if path.is_dir()}
    assert folders == {"fsdp2, shards", "fsdp1, shards"}
    first = load(written["ddp"])
    files = dict(written)
    for writer in folders:
        files[writer] = tmp_path / f"{writer}.ckpt"
        jobs.run("one file", "consolidate", str(written[writer]), str(files[writer]), ranks=1)
    for writer, path in written.items():
        assert_close(load(path), first)
        assert_close(torch.load(files[writer], weights_only=True), first)
        assert read_checkpoint(path)["global_step"] == 3
        loaded = IJEPA.load_from_checkpoint(path).state_dict()
        torch.testing.assert_close(loaded, load(path)["state_dict"], rtol=0, atol=0)
    for reader, options in READERS.items():
        ends = {}
        for writer, path in written.items():
            foreign = reader.startswith("fsdp") and writer in folders and not writer.startswith(reader)
            start = files[writer] if foreign else path
            ends[writer] = load(run(jobs, f"{writer} under {reader}", 5, options, f"--ckpt_path={start}"))
            assert_close(ends[writer], ends["ddp"])
