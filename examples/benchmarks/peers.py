"""Seconds of a training step of I-JEPA, MAE and SimCLR: this package against others that a person would pick.

python -m venv peers && peers/bin/pip install lightly stable-pretraining .
peers/bin/python examples/benchmarks/peers.py

The peers are timm's Vision Transformer in a plain loop, lightly's modules and stable-pretraining's methods; those that
are not installed are left out. A step is forward pass, backward pass, AdamW and EMA of one batch of random images that
is in memory; ``--precision bf16`` is autocast to bfloat16, as the Trainer's bf16-mixed. EMA is the same code for all.
Sizes are the papers' (a predictor of 6 blocks of width 384, a decoder of 8 blocks of width 512, a head of 2048 and
128), on an encoder without class token. All take turns, step by step, so that a busy machine slows all alike. ``CPU``
is the time of the processor in all threads, which others on the machine change little; ``wall`` is that on the clock. A
ratio is that of medians, and below 1 a peer is faster than this package; the range is that of the middle half of all
rounds. ``GFLOP`` are the operations of forward and backward pass, counted by torch, which counts none of fused
attention on a CPU.

What differs:
    plain loop          learned positions, where others have fixed ones. ``explicit`` has matrix products and a softmax
                        in place of torch's fused attention, whose backward pass is slow in bfloat16 on a CPU.
    lightly             one pass through the network for each of SimCLR's views; MAE's decoder takes all tokens, as the
                        plain loop's does.
    stable-pretraining  I-JEPA and MAE draw masks in the step, one context and one set of targets for the whole batch in
                        I-JEPA. It predicts all targets together in one pass, not each block on its own, which is less
                        work and another method.
    this package        the last block of predictor and decoder computes masked tokens alone; masks come from the data
                        loader. AdamW has torch's fused kernel, which this package takes where the device has it and
                        others take when they are told; ``AdamW not fused`` has theirs. ``compiled`` has
                        ``compile=True``; it is left out without ``--compiled``, as its first step takes a minute.
"""

import argparse
import platform
import statistics
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

import torch
from peers_step import PRECISIONS, Contest, Entry, Step, step_of
from torch.utils.flop_counter import FlopCounterMode

from jepa_lightning.masking import MultiBlockMask, RandomMask
from jepa_lightning.nn import VIT_SIZES

OURS = "jepa_lightning"
# what is shown, its package, and the file and the table of its entries
PARTIES = {
    OURS: (OURS, "peers_ours", "METHODS"),
    "AdamW not fused": (OURS, "peers_ours", "UNFUSED"),
    "compiled": (OURS, "peers_ours", "COMPILED"),
    "shared attention": (OURS, "peers_ours", "SHARED"),
    "timm, plain loop": ("timm", "peers_plain", "METHODS"),
    "timm, explicit": ("timm", "peers_plain", "EXPLICIT"),
    "lightly": ("lightly", "peers_lightly", "METHODS"),
    "stable-pretraining": ("stable-pretraining", "peers_stable_pretraining", "METHODS"),
}
METHODS = ("I-JEPA", "MAE", "SimCLR")
CLOCKS: dict[str, Callable[[], float]] = {"CPU": time.process_time, "wall": time.perf_counter}
Times = dict[str, list[float]]  # of each party, by round
Methods = dict[str, Callable[[Contest], Entry]]


def contest_of(options: argparse.Namespace) -> Contest:
    """Random images and masks of the asked sizes."""
    side = options.image_size // options.patch_size
    images, others = torch.randn(2, options.batch_size, 3, options.image_size, options.image_size)
    blocks, random = MultiBlockMask(side)(options.batch_size), RandomMask(side)(options.batch_size)
    return Contest(options.encoder, options.patch_size, images, others, blocks, random)


def present(compiled: bool) -> dict[str, Methods]:
    """The entries of all that are installed; a line for each of the others."""
    found: dict[str, Methods] = {}
    for name, (package, file, table) in PARTIES.items():
        if name == "compiled" and not compiled:
            continue
        try:
            shown = f"{name} {version(package)}"
        except PackageNotFoundError:
            print(f"{package} is not installed, and is left out: pip install {package}.")
            continue
        found[shown] = getattr(import_module(file), table)
    return found


def in_turns(steps: dict[str, Step], rounds: int, warm_up: int) -> dict[str, Times]:
    """Seconds of each step by each clock; every round begins with another party."""
    times: dict[str, Times] = {clock: {name: [] for name in steps} for clock in CLOCKS}
    names = list(steps)
    for i in range(warm_up + rounds):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            began = {clock: read() for clock, read in CLOCKS.items()}
            steps[name]()
            for clock, read in CLOCKS.items():
                times[clock][name].append(read() - began[clock])
    return {clock: {name: column[warm_up:] for name, column in found.items()} for clock, found in times.items()}


def flops_of(entry: Entry) -> float:
    """Operations of forward and backward pass, in units of 10^9."""
    with FlopCounterMode(display=False) as counter:
        entry.loss().backward()
    return counter.get_total_flops() / 1e9


def cells(times: Times, name: str) -> str:
    """Median seconds of a step, its ratio to the first row's, and the middle half of the ratios of all rounds."""
    ours, theirs = next(iter(times.values())), times[name]
    low, _, high = statistics.quantiles([a / b for a, b in zip(theirs, ours, strict=True)])
    ratio, median = statistics.median(theirs) / statistics.median(ours), statistics.median(theirs)
    return f"{median:>9.3f}{ratio:>8.2f}{f'{low:.2f} to {high:.2f}':>14}"


def compare(method: str, parties: dict[str, Methods], contest: Contest, options: argparse.Namespace) -> None:
    """Prints the rows of a method."""
    entries = {name: methods[method](contest) for name, methods in parties.items() if method in methods}
    flops = {name: flops_of(entry) for name, entry in entries.items()}
    times = in_turns(
        {name: step_of(entry, options.precision) for name, entry in entries.items()}, options.rounds, options.warm_up
    )
    for name in entries:
        print(f"{method:<8}{name:<26}{flops[name]:>7.1f}{''.join(cells(times[clock], name) for clock in CLOCKS)}")


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", default="vit_small", choices=VIT_SIZES)
    parser.add_argument("--image-size", type=int, default=96)
    parser.add_argument("--patch-size", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=12, help="steps of each, at least 2")
    parser.add_argument("--warm-up", type=int, default=2, help="steps of each that do not count")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="fp32", choices=PRECISIONS)
    parser.add_argument("--compiled", action="store_true", help="this package with compiled blocks, too")
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    options = parser.parse_args(args)
    if options.rounds < 2:
        parser.error(f"--rounds {options.rounds}: give at least 2.")
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    parties, contest = present(options.compiled), contest_of(options)
    print(
        f"{options.encoder}/{options.patch_size}, {options.image_size} px, batch {options.batch_size}, "
        f"{options.precision}, {options.threads} thread(s), {options.rounds} rounds, torch {version('torch')}, "
        f"Python {platform.python_version()}"
    )
    clocks = "".join(f"{f'{clock}, s':>9}{'ratio':>8}{'middle half':>14}" for clock in CLOCKS)
    print(f"{'method':<8}{'':<26}{'GFLOP':>7}{clocks}")
    for method in options.methods:  # one at a time: networks and optimizers of all would take 8 GB
        compare(method, parties, contest, options)


if __name__ == "__main__":
    main()
