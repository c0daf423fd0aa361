# S samples, D width
"""Memory and time of the protocols on pooled features, at the size of a large data set.

python examples/benchmarks/frozen_protocols.py
python examples/benchmarks/frozen_protocols.py --protocols knn --samples 5000 --width 192 --classes 100

Features are planted: a center for each class and noise, on the disk as ``jepa-lightning evaluate`` keeps them. Each
protocol runs in a process of its own. Memory is the most that this process had at once, over what it had before; pages
of the features' files that the system holds for it are among it.
"""

import argparse
import multiprocessing
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from jepa_lightning.evaluation.feature_cache import Table
from jepa_lightning.evaluation.figures import LEVEL
from jepa_lightning.evaluation.protocols import POOLED
from jepa_lightning.evaluation.tasks import Settings, tasks_of

BLOCK = 4096  # samples that are written at once
Result = tuple[float, float, dict[str, Any]]


def plant(path: Path, samples: int, width: int, classes: int, noise: float, seed: int) -> torch.Tensor:
    """Writes features ``[S, D]``, and gives their classes ``[S]``; all files have the same centers."""
    centers = np.random.default_rng(0).standard_normal((classes, width), np.float32)
    rng = np.random.default_rng(seed)
    labels = np.arange(samples) % classes
    values = np.lib.format.open_memmap(path, "w+", np.float32, (samples, width))
    for begin in range(0, samples, BLOCK):
        part = labels[begin : begin + BLOCK]
        values[begin : begin + BLOCK] = centers[part] + noise * rng.standard_normal((len(part), width), np.float32)
    values.flush()
    return torch.from_numpy(labels)


def table(path: Path, labels: torch.Tensor) -> Table:
    """Features that are read from the disk as they are used."""
    return Table({"last": np.load(path, mmap_mode="r")}, {"class": labels})


def measure(protocol: str, files: list[tuple[Path, torch.Tensor]], settings: Settings, result: Any) -> None:
    """Runs a protocol, and sends MB, seconds, and what it found."""
    train, test = (table(*each) for each in files)
    [task] = tasks_of(train, test, settings.seed)
    before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    found = POOLED[protocol](task, train, test, settings)
    seconds = time.perf_counter() - start
    result.send(((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, seconds, found))


def alone(protocol: str, files: list[tuple[Path, torch.Tensor]], settings: Settings) -> Result:
    """``measure`` in a new process, whose memory is its own."""
    spawn = multiprocessing.get_context("spawn")
    result, sender = spawn.Pipe(duplex=False)
    process = spawn.Process(target=measure, args=(protocol, files, settings, sender))
    process.start()
    sender.close()  # so that the end of the process ends the wait
    found: Result = result.recv()
    process.join()
    return found


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--protocols", nargs="+", choices=list(POOLED), default=["knn", "linear"])
    parser.add_argument("--samples", type=int, default=50_000, help="to fit to; a fifth as many to judge on")
    parser.add_argument("--width", type=int, default=1280, help="of the features")
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--noise", type=float, default=3.0, help="deviation beside centers of deviation 1")
    parser.add_argument("--grid", choices=["quick", "published"], default="quick")
    options = parser.parse_args(args)
    size = options.width, options.classes, options.noise
    with tempfile.TemporaryDirectory() as folder:
        files = [
            (path, plant(path, samples, *size, seed))
            for seed, (name, samples) in enumerate({"train": options.samples, "test": options.samples // 5}.items(), 1)
            for path in [Path(folder, f"{name}.npy")]
        ]
        print(f"{options.samples:,} x {options.width:,} features of {options.classes:,} classes", flush=True)
        for protocol in options.protocols:
            memory, seconds, found = alone(protocol, files, Settings(grid=options.grid))
            low, high = (100 * end for end in found["interval"])
            accuracy = f"accuracy {100 * found['accuracy']:.1f} % ({100 * LEVEL:.0f} %: {low:.1f} to {high:.1f})"
            print(f"{protocol}: {memory:,.0f} MB, {seconds:,.1f} s, {accuracy}", flush=True)


if __name__ == "__main__":
    main()
