"""Samples per second of IJEPA over several processes, where the time of a step goes, and memory: measured, or modeled.

python examples/benchmarks/scaling.py
python examples/benchmarks/scaling.py --processes 1 8 --encoder vit_large --depth 24 --image-size 224 --patch-size 16
    --batch-size 128 --num-workers 12 --precision bf16-mixed --steps 30     (all on one line, on 8 GPUs)
python examples/benchmarks/scaling.py --paper

Scaling is weak: every process has the same batch, so that twice the processes would ideally do twice the samples. Runs
take turns, and ratios are within one round. ``--paper`` measures nothing but the loader: it computes what ViT-H/14 and
ViT-g/16 would need on 8, 64 and 512 GPUs from the assumptions that it prints.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from scaling_measure import PARTS, TRACED, WARM_UP
from scaling_paper import add_paper_options, print_paper
from scaling_table import aligned
from scaling_worker import options_parser

WORKER = Path(__file__).with_name("scaling_worker.py")
MB = 1e6
Run = tuple[str, int]  # strategy, processes


def measure(run: Run, options: argparse.Namespace) -> dict[str, Any]:
    """What the ranks of one run found: the slowest one's step, the largest memory, the mean of shares.

    Raises:
        SystemExit: if the run fails or takes too long, with the end of what it said.
    """
    shared = vars(options_parser().parse_args([]))
    command = [f"--{name.replace('_', '-')}={getattr(options, name)}" for name in shared]
    with tempfile.TemporaryDirectory() as out:
        command += [f"--strategy={run[0]}", f"--processes={run[1]}", f"--out={out}"]
        in_group([sys.executable, str(WORKER), *command], options.timeout, options.threads)
        ranks = [json.loads(path.read_text()) for path in sorted(Path(out).glob("*.json"))]
    if len(ranks) != run[1]:
        raise SystemExit(f"{run[0]} on {run[1]} processes: {len(ranks)} of them have written what they found.")
    step = sum(sum(rank["parts"].values()) for rank in ranks)
    return {
        "device": ranks[0]["device"],
        "step": max(rank["step"] for rank in ranks),
        "processor": max(rank["processor"] for rank in ranks),
        **{part: sum(rank["parts"][part] for rank in ranks) / step for part in PARTS},
        "collectives": statistics.mean(rank["collectives"] for rank in ranks),
        "state": max(rank["weights"] + rank["gradients"] + rank["optimizer"] for rank in ranks),
        "peak": max(rank["peak"] for rank in ranks),
        "before": max(rank["before"] for rank in ranks),
        **{name: max(rank["bytes"][name] for rank in ranks) for name in ("gathered", "summed")},
    }


def in_group(command: list[str], timeout: float, threads: int) -> None:
    """Runs a command whose processes all end with it, or after the time that it has.

    Raises:
        SystemExit: if it fails or takes too long.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    process = subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    said = ""
    try:
        said, _ = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        raise SystemExit(f"stopped after {timeout:g} s: give more with --timeout, or fewer --steps.") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # the ranks that the Trainer has started too
        process.wait()
    if process.returncode:
        raise SystemExit("\n".join([*said.splitlines()[-5:], f"the run failed: {' '.join(command)}"]))


def rows(runs: list[Run], rounds: list[dict[Run, dict[str, Any]]], batch_size: int) -> list[list[str]]:
    """The table: medians over the rounds, and ratios to the first run within each."""
    shares, amounts = [*PARTS, "collectives"], ["gathered", "summed", "state", "peak"]
    units = [f"{name} %" for name in shares] + [f"{name} MB" for name in amounts]
    table = [["strategy", "processes", "samples/s", "ratio", "step ms", "CPU ms", *units]]

    def rate(measured: dict[Run, dict[str, Any]], run: Run) -> float:
        return run[1] * batch_size / measured[run]["step"]

    for run in runs:
        names = ["step", "processor", *shares, *amounts]
        middle = {name: statistics.median(measured[run][name] for measured in rounds) for name in names}
        ratio = statistics.median(rate(measured, run) / rate(measured, runs[0]) for measured in rounds)
        table.append(
            [run[0], str(run[1]), f"{run[1] * batch_size / middle['step']:,.1f}", f"{ratio:.2f}"]
            + [f"{1e3 * middle[name]:.0f}" for name in ("step", "processor")]
            + [f"{100 * middle[name]:.1f}" for name in shares]
            + [f"{middle[name] / MB:,.0f}" for name in amounts]
        )
    return table


def header(options: argparse.Namespace, found: list[dict[str, Any]]) -> str:
    """What was run, and what the columns mean."""
    device, before = found[0]["device"], max(one["before"] for one in found) / MB
    memory = "of tensors" if device == "cuda" else f"of which {before:,.0f} MB before there was a network"
    return f"""\
I-JEPA, {options.encoder} of {options.depth} blocks, {options.image_size} px / {options.patch_size}, \
{options.batch_size} samples a process, {options.threads} thread(s) each, {device}, {os.cpu_count()} cores,
load {os.getloadavg()[0]:.1f} at the end; {options.steps} steps after {WARM_UP}, {options.rounds} round(s).
samples/s: of the median step. ratio: over the first row's; ideal is processes over processes. CPU: processor time of a
step in a rank, which a busy machine changes less. data to rest: parts of a step, each without what it holds of another.
collectives: share of {TRACED} further steps in which one was under way, the wait for another rank included; it lies
within forward, backward and callbacks. gathered, summed: whole tensors of a step that came from all ranks. state:
weights, gradients and Adam's moments of a rank. peak: most memory of a rank, {memory}.
"""


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, parents=[options_parser()]
    )
    parser.add_argument("--strategies", nargs="+", default=["ddp", "fsdp2"])
    parser.add_argument("--processes", type=int, nargs="+", default=[1, 2], help="on this machine; on GPUs, one each")
    parser.add_argument("--rounds", type=int, default=2, help="times that every run is made")
    parser.add_argument("--threads", type=int, default=1, help="of each process")
    parser.add_argument("--timeout", type=float, default=170.0, help="seconds of one run")
    add_paper_options(parser)
    options = parser.parse_args(args)
    if options.paper:
        print_paper(options)
        return
    runs = [(strategy, number) for strategy in options.strategies for number in options.processes]
    rounds = [{run: measure(run, options) for run in runs} for _ in range(options.rounds)]
    print(header(options, [one for measured in rounds for one in measured.values()]))
    print(aligned(rows(runs, rounds, options.batch_size)))


if __name__ == "__main__":
    main()
