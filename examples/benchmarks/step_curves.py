"""How a training step of IJEPA grows with tokens, batch, width and target blocks: part of ``step_time.py --scaling``.

Time beside operations counted (``torch.utils.flop_counter``), as a share of the rate of matrix products on the same
machine, and what is kept for the backward pass. On a CPU times are of the processor, so that others count little.

``--scaling --encoder vit_tiny --image-size 128 --batch-size 4 --steps 2 --sides 4 6 8 10``, seed 0, commit 8385158, one
thread of a busy CPU: a step runs at .73 of the rate of products with 16 tokens and .95 with 100; with 4 target blocks
shared attention takes .50 of the time of full attention (.52 of the FLOPs), since the predictor is wider than ViT-Ti.
"""

import argparse
import csv
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from jepa_lightning import IJEPA
from jepa_lightning.types import Batch

sys.path.append(str(Path(__file__).parents[1]))
from new_files import path_of

WIDTHS = ("vit_tiny", "vit_small", "vit_base")
GEMM = 1024  # side of the matrices whose product gives the rate of the machine


class Point(NamedTuple):
    """One step on a curve.

    Attributes:
        curve: which one.
        x: tokens, samples, width or target blocks.
        seconds: of forward and backward pass, median.
        flops: of both, counted.
        kept: bytes kept for the backward pass.
    """

    curve: str
    x: int
    seconds: float
    flops: int
    kept: int


def clock(device: str) -> float:
    """Seconds: of the processor on a CPU, and else on the wall, when the device is done."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def gemm_rate(device: str, repeats: int) -> float:
    """Operations a second in a matrix product."""
    a, found = torch.randn(GEMM, GEMM, device=device), []
    for _ in range(repeats + 1):
        start = clock(device)
        a @ a
        found.append(clock(device) - start)
    return 2 * GEMM**3 / statistics.median(found[1:])


def step_of(module: IJEPA, batch: Batch) -> Callable[[], None]:
    """Forward and backward pass."""

    def step() -> None:
        module.objective(batch, 0.0).loss.backward()
        module.zero_grad()

    return step


def bytes_kept(step: Callable[[], None], module: IJEPA) -> int:
    """Bytes of all tensors that the forward pass keeps for the backward pass, without the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    kept: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(kept.values())


def measure(curve: str, x: int, options: argparse.Namespace, batch_size: int | None = None, **changed: Any) -> Point:
    """One point.

    Args:
        curve: its name.
        x: where it is.
        options: of the command line.
        batch_size: of other than the options' size.
        changed: options of IJEPA over those of the command line.
    """
    torch.manual_seed(0)
    given = {"encoder": options.encoder, "image_size": options.image_size, "patch_size": options.patch_size}
    module = IJEPA(**{**given, "min_keep": 1, **changed}).to(options.device)
    pipeline, image = module.pipeline(), torch.rand(3, *module.image_size)
    samples = [pipeline.eval_transform(image)] * (batch_size or options.batch_size)
    batch = move_data_to_device(pipeline.collate(samples), options.device)
    step, found = step_of(module, batch), []
    with FlopCounterMode(display=False) as counter:
        step()
    for _ in range(options.steps):
        start = clock(options.device)
        step()
        found.append(clock(options.device) - start)
    return Point(curve, x, statistics.median(found), int(counter.get_total_flops()), bytes_kept(step, module))


def points(options: argparse.Namespace) -> list[Point]:
    """All points of all curves."""
    found = []
    for side in options.sides:
        found.append(measure("tokens", side**2, options, image_size=side * options.patch_size))
    for samples in (options.batch_size // 4, options.batch_size // 2, options.batch_size, 2 * options.batch_size):
        found.append(measure("batch", samples, options, batch_size=samples))
    for encoder, width in zip(WIDTHS, (192, 384, 768), strict=True):
        found.append(measure("width", width, options, encoder=encoder))
    for attention in ("full", "shared"):
        for targets in (1, 2, 4, 8):
            size = {"num_targets": targets, "predictor_attention": attention}
            found.append(measure(f"target blocks, {attention} attention", targets, options, **size))
    return found


def table(found: list[Point], rate: float) -> str:
    """A line for each point."""
    lines = [f"{'curve':<36}{'x':>7}{'ms':>9}{'GFLOP':>9}{'of products':>13}{'kept, MB':>10}"]
    lines += [
        f"{point.curve:<36}{point.x:>7}{1e3 * point.seconds:>9.1f}{point.flops / 1e9:>9.2f}"
        f"{point.flops / point.seconds / rate:>13.2f}{point.kept / 1e6:>10.1f}"
        for point in found
    ]
    return "\n".join(lines)


def plot(found: list[Point], rate: float, path: Path) -> None:
    """A panel for each axis: the time of a step, and below it what its products alone would take."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    axes = list(dict.fromkeys(point.curve.split(",")[0] for point in found))
    figure, panels = pyplot.subplots(1, len(axes), figsize=(4 * len(axes), 3.6), layout="constrained")
    for panel, name in zip(panels, axes, strict=True):
        for i, curve in enumerate(dict.fromkeys(point.curve for point in found if point.curve.startswith(name))):
            line = [point for point in found if point.curve == curve]
            at = [point.x for point in line]
            label = curve.removeprefix(f"{name}, ")
            panel.plot(at, [1e3 * point.seconds for point in line], "o-", color=f"C{i}", label=label)
            ideal = [1e3 * point.flops / rate for point in line]
            panel.plot(at, ideal, "--", color=f"C{i}", label=f"{label}: FLOPs at the rate of products")
        panel.set(xlabel=name, ylabel="ms a step", ylim=(0, None), xlim=(0, None))
        panel.legend(fontsize="x-small")
    figure.savefig(path, dpi=120)


def curves(options: argparse.Namespace) -> None:
    """Measures, prints and, with ``out``, writes OUT.csv and OUT.png.

    Args:
        options: of ``step_time.py``.
    """
    if options.device == "cpu":
        torch.set_num_threads(1)
    rate, found = gemm_rate(options.device, 5), points(options)
    print(f"{options.encoder}/{options.patch_size}, {options.image_size} px, batch {options.batch_size}, fp32, "
          f"{options.device}; products {rate / 1e9:.1f} GFLOP/s")  # fmt: skip
    print(table(found, rate))
    if options.out is None:
        return
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with path_of(options.out, ".csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows([(*Point._fields, "gemm_rate"), *((*point, rate) for point in found)])
    plot(found, rate, path_of(options.out, ".png"))
    print(f"written to {path_of(options.out, '.csv')} and {path_of(options.out, '.png')}")
