"""What the Trainer of ``jepa-lightning fit`` with its callbacks costs, against a bare loop over the same batches.

python examples/benchmarks/trainer_overhead.py --config configs/quickstart.yaml
python examples/benchmarks/trainer_overhead.py --config configs/ijepa/small.yaml --steps 51

The command trains as it always does, with all callbacks of the configuration and those that the command line and the
module add, TensorBoard and the progress bar. Before each of its steps a bare loop takes one too: the same batch, a copy
of the module, its objective, the same optimizer, and EMA. A few batches of procedural scenes are held in memory. The
cost is that of steps alone: the only validation ends the run. A block of steps is as long as the interval of
CollapseMonitor, so that each has one measure. The first step is left out: pictures import Matplotlib in it.
"""

import argparse
import contextlib
import copy
import io
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
import yaml
from torch.utils.data import DataLoader

from jepa_lightning import JEPAModule
from jepa_lightning.callbacks import CollapseMonitor
from jepa_lightning.cli.lightning_cli import JEPACLI
from jepa_lightning.data import ShapesDataModule
from jepa_lightning.ema import EMAPair
from jepa_lightning.optim import create_optimizer
from jepa_lightning.types import Batch

HELD = 4  # batches in memory
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "CPU": time.process_time}
Times = dict[str, list[float]]  # of each clock


class Stopwatch:
    """Seconds of each of several stretches of time, by every clock."""

    def __init__(self) -> None:
        self.times: Times = {name: [] for name in CLOCKS}
        self.began: dict[str, float] = {}

    def start(self) -> None:
        """Begins a stretch."""
        self.began = {name: clock() for name, clock in CLOCKS.items()}

    def stop(self) -> None:
        """Ends it."""
        for name, clock in CLOCKS.items():
            self.times[name].append(clock() - self.began[name])


class BareLoop:
    """A training step as one writes it without a Trainer."""

    def __init__(self, module: JEPAModule) -> None:
        self.module, self.pairs = module, [EMAPair(*pair) for pair in module.ema_pairs()]
        options = module.optimizer_name, module.lr, module.betas, module.optimizer_options
        self.optimizer = create_optimizer(module.optimizer_groups(), *options)

    def step(self, batch: Batch) -> None:
        """Forward pass, backward pass, optimizer and EMA."""
        loss = self.module.objective(batch, 0.0).loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        for pair in self.pairs:
            pair.update_(self.module.ema[0])


class Turns:
    """A loader that, between two batches of a few in memory, lets the bare loop take a step and times both."""

    def __init__(self, batches: list[Batch], bare: BareLoop, steps: int) -> None:
        self.batches, self.bare, self.steps = batches, bare, steps
        self.watches = {"bare": Stopwatch(), "trainer": Stopwatch()}

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        for i in range(self.steps):
            batch = self.batches[i % len(self.batches)]
            self.watches["bare"].start()
            self.bare.step(batch)
            self.watches["bare"].stop()
            self.watches["trainer"].start()
            yield batch
            self.watches["trainer"].stop()


class InTurns(ShapesDataModule):
    """Scenes whose training loader is ``Turns``."""

    bare: BareLoop
    turns: Turns

    def train_dataloader(self) -> DataLoader[Any]:
        """The same few batches again and again."""
        if not hasattr(self, "turns"):
            batches = list(islice(super().train_dataloader(), HELD))
            steps: int = self.trainer.max_steps  # type: ignore[union-attr]
            self.turns = Turns(batches, self.bare, steps)
        return self.turns  # type: ignore[return-value]


class OverheadCLI(JEPACLI):
    """The command line, with a bare loop beside it."""

    def fit(self, **options: Any) -> None:
        """Trains; the bare loop has a copy of the module as it is at the start."""
        self.datamodule.bare = BareLoop(copy.deepcopy(self.model))
        super().fit(**options)


def train(options: argparse.Namespace) -> OverheadCLI:
    """Runs the command in a folder that is left to nobody, and keeps what it prints to itself."""
    given = ["fit", "--config", str(options.config), "--data", f"{InTurns.__module__}.{InTurns.__name__}"]
    given += ["--data.num_train", str(options.images), "--data.num_val", str(options.images), "--data.num_workers", "0"]
    # one validation, which ends the run
    given += ["--trainer.max_steps", str(options.steps), "--trainer.val_check_interval", str(options.steps)]
    given += ["--trainer.accelerator", "cpu"]
    if options.where:
        given += ["--trainer.profiler", "simple"]
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        return OverheadCLI([*given, "--trainer.default_root_dir", folder])


def blocks_of(column: list[float]) -> list[float]:
    """Seconds of each whole block of steps, without the first step."""
    size = CollapseMonitor().every_n_steps
    return [sum(column[i : i + size]) for i in range(1, len(column) - size + 1, size)]


def ratios(turns: Turns, clock: str) -> list[float]:
    """The Trainer's time over the bare loop's, for each block."""
    blocks = (blocks_of(turns.watches[name].times[clock]) for name in ("trainer", "bare"))
    return [trainer / bare for trainer, bare in zip(*blocks, strict=False)]


def print_times(turns: Turns) -> None:
    """A line for each clock."""
    print(f"{'clock':<6}{'bare, s a step':>16}{'typical step':>14}{'blocks':>8}{'median':>8}{'least':>8}{'most':>8}")
    for clock in CLOCKS:
        found = ratios(turns, clock)
        bare, trainer = (turns.watches[name].times[clock][1:] for name in ("bare", "trainer"))
        typical = statistics.median(a / b for a, b in zip(trainer, bare, strict=False))
        figures = "".join(f"{value:>8.3f}" for value in (statistics.median(found), min(found), max(found)))
        print(f"{clock:<6}{statistics.median(bare):>16.3f}{typical:>14.3f}{len(found):>8}{figures}")


def print_callbacks(cli: OverheadCLI) -> None:
    """What each callback's hooks of training batches take of the bare loop's time, without their first calls."""
    costs: dict[str, float] = {}
    bare = sum(cli.datamodule.turns.watches["bare"].times["wall"][1:])
    for action, durations in cli.trainer.profiler.recorded_durations.items():
        if action.startswith("[Callback]") and ".on_train_batch_" in action:
            name = action.removeprefix("[Callback]").split("{")[0].split(".")[0]
            costs[name] = costs.get(name, 0.0) + sum(durations[1:])
    print(f"{'callback':<30}{'%':>8}")
    for name, seconds in sorted(costs.items(), key=lambda item: -item[1]):
        print(f"{name:<30}{100 * seconds / bare:>8.2f}")


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path("configs/quickstart.yaml"))
    parser.add_argument("--steps", type=int, help="of the Trainer, instead of the configuration's; 52 at least")
    parser.add_argument("--images", type=int, default=512, help="of the training set, and of the validation set")
    parser.add_argument("--where", action="store_true", help="print what each callback costs")
    options = parser.parse_args(args)
    least = CollapseMonitor().every_n_steps + 2
    if options.steps is None:
        options.steps = yaml.safe_load(options.config.read_text())["trainer"]["max_steps"]
    if options.steps < least:
        parser.error(f"--steps {options.steps}: give at least {least}, for one block.")
    warnings.simplefilter("ignore")
    cli = train(options)
    print(f"{options.config}, {cli.trainer.global_step} steps, {torch.get_num_threads()} thread(s)")
    print_times(cli.datamodule.turns)
    if options.where:
        print_callbacks(cli)


if __name__ == "__main__":
    main()
