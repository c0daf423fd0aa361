"""Masks per second of MultiBlockMask, against drawing them sample by sample.

python examples/benchmarks/mask_rate.py
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable
from functools import partial

import torch

from jepa_lightning.masking import MultiBlockMask
from jepa_lightning.types import Masks


def loop(side: int, batch_size: int, num_targets: int = 4, min_keep: int = 10) -> Masks:
    """The algorithm of MultiBlockMask with its default options, one sample at a time."""
    scale, aspect, context_scale = torch.rand(3).tolist()
    area, ratio = (0.15 + 0.05 * scale) * side**2, 0.75 + 0.75 * aspect
    target_size = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
    context_size = (round(side * math.sqrt(0.85 + 0.15 * context_scale)),) * 2
    contexts, targets = [], []
    while len(contexts) < batch_size:
        blocks = [draw_block(side, target_size) for _ in range(num_targets)]
        covered = set().union(*blocks)
        context = [token for token in draw_block(side, context_size) if token not in covered]
        if len(context) >= min_keep:
            contexts.append(torch.tensor(context))
            targets.append(blocks)
    shortest = min(len(context) for context in contexts)
    cut = [context[torch.randperm(len(context))[:shortest]].sort().values for context in contexts]
    return Masks(torch.stack(cut), torch.tensor(targets))


def draw_block(side: int, size: tuple[int, ...]) -> list[int]:
    top, left = (int(torch.randint(side - length + 1, (1,))) for length in size)
    return [row * side + column for row in range(top, top + size[0]) for column in range(left, left + size[1])]


def seconds(sampler: Callable[[int], Masks], batch_size: int, calls: int) -> float:
    start = time.perf_counter()
    for _ in range(calls):
        sampler(batch_size)
    return (time.perf_counter() - start) / calls


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--grids", type=int, nargs="+", default=[14, 16], help="tokens along a side")
    parser.add_argument("--repeats", type=int, default=25, help="measurements, whose median is printed")
    options = parser.parse_args()
    torch.set_num_threads(1)  # as in a worker of a DataLoader
    for side in options.grids:
        vectorised, one_by_one = MultiBlockMask(side), partial(loop, side)
        seconds(vectorised, options.batch_size, 10), seconds(one_by_one, options.batch_size, 1)
        # in turns, so that a busy machine slows both alike
        times = [
            (seconds(vectorised, options.batch_size, 10), seconds(one_by_one, options.batch_size, 1))
            for _ in range(options.repeats)
        ]
        fast, slow = (statistics.median(column) for column in zip(*times, strict=True))
        print(
            f"{side}x{side}, batch {options.batch_size}: {options.batch_size / fast:,.0f} masks/s, "
            f"sample by sample {options.batch_size / slow:,.0f} masks/s, ratio {slow / fast:.1f}"
        )


if __name__ == "__main__":
    main()
