# W ranks, B batch of one rank, D width
"""CPU time that one of W ranks spends on the loss of VICReg, Barlow Twins and LeJEPA, forward and backward.

python examples/benchmarks/rank_statistics.py

"joint" is the statistic of the gathered batch of all ranks, which every rank would compute alike; "sums" is what the
package does: each rank takes sums over its own samples, and the sums are added up over ranks. Both take turns, in one
process on one thread. The other ranks are simulated: collectives return at once, so their time is not in the figures.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch import distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore  # registers the backend "fake", too

from jepa_lightning.losses import SIGReg, VarianceCovariance, barlow_twins_loss

Loss = Callable[[Tensor, Tensor], Tensor]


def losses(gather: bool) -> dict[str, Loss]:
    """Losses of two views' ``[B, D]`` projections, with the methods' default options."""
    spread, normality = VarianceCovariance(gather=gather), SIGReg(num_directions=1024, gather=gather)
    return {
        "VICReg": lambda a, b: spread(a, b),
        "Barlow Twins": lambda a, b: barlow_twins_loss(a, b, gather=gather),
        "LeJEPA": lambda a, b: normality(a, b),
    }


@contextmanager
def simulated(ranks: int) -> Iterator[None]:
    """A process group in which the other ranks answer at once."""
    dist.init_process_group("fake", rank=0, world_size=ranks, store=FakeStore())
    try:
        yield
    finally:
        dist.destroy_process_group()


def cpu_seconds(loss: Loss, samples: int, width: int) -> float:
    """CPU time of the loss and its gradient on a number of samples."""
    views = torch.randn(2, samples, width, requires_grad=True)
    start = time.process_time()
    loss(*views).backward()
    return time.process_time() - start


def compare(ranks: int, samples: int, widths: dict[str, int], rounds: int) -> dict[str, tuple[float, float]]:
    """Medians over rounds for each loss: of the joint batch, and of sums over ranks."""
    joint, summed = losses(gather=False), losses(gather=True)
    found = {}
    for name, width in widths.items():
        times: dict[str, list[float]] = {"joint": [], "sums": []}
        for _ in range(rounds + 1):
            times["joint"].append(cpu_seconds(joint[name], ranks * samples, width))
            with simulated(ranks):
                times["sums"].append(cpu_seconds(summed[name], samples, width))
        found[name] = (statistics.median(times["joint"][1:]), statistics.median(times["sums"][1:]))
    return found


def main(arguments: list[str] | None = None) -> None:
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--samples", type=int, default=64, help="of one rank")
    parser.add_argument("--width", type=int, default=2048, help="of the projections of VICReg and Barlow Twins")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    widths = {"VICReg": options.width, "Barlow Twins": options.width, "LeJEPA": 64}
    print(f"{'loss':<14}{'ranks':>6}{'joint':>10}{'sums':>10}{'ratio':>8}")
    for ranks in options.ranks:
        for name, (joint, summed) in compare(ranks, options.samples, widths, options.rounds).items():
            print(f"{name:<14}{ranks:>6}{joint:>8.3f} s{summed:>8.3f} s{joint / summed:>8.1f}")


if __name__ == "__main__":
    main()
