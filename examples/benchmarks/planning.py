# E episodes, S samples, H horizon
"""Rollouts a second and milliseconds a plan over samples x horizon, and many episodes at once against one by one.

python examples/benchmarks/planning.py

A plan starts from images: start and goal are encoded once, and then imagined with a WorldModel of random weights. A
rollout is one imagined sequence of actions. The last column plans the same episodes in a loop, one after the other.
"""

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor

from jepa_lightning import WorldModel
from jepa_lightning.planning import CEM, Bounds, PlanningPolicy, episode_generators
from jepa_lightning.planning.episodes import Scene


def seconds(work: Callable[[], object], repeats: int) -> float:
    """The least time of a call, which other processes disturb least; the first one warms up."""
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return min(times[1:])


def scene_of(frames: Tensor, goals: Tensor, row: int | None = None) -> Scene:
    """The first step of all episodes, or of one."""
    rows = torch.arange(len(frames)) if row is None else torch.tensor([row])
    return Scene(rows, frames[rows, None], torch.zeros(len(rows), 0, 2), goals[rows], {}, 200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[8, 16, 64, 200])
    parser.add_argument("--horizons", type=int, nargs="+", default=[8, 20, 90])
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--episodes", type=int, default=32)
    parser.add_argument("--width", type=int, default=128, help="of states")
    parser.add_argument("--image_size", type=int, default=65)
    parser.add_argument("--repeats", type=int, default=3, help="calls of which the fastest is printed")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    model = WorldModel(width=options.width, image_size=options.image_size).to(options.device).eval()
    shape = (options.episodes, options.image_size, options.image_size, 2)
    frames, goals = (torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2))
    bounds = Bounds(*(side * torch.full((2,), 2.45, device=options.device) for side in (-1, 1)), max_norm=2.45)
    threads = torch.get_num_threads()
    print(f"{options.episodes} episodes, {options.iterations} iterations, {options.device}, {threads} threads")
    print(f"{'samples':>7}{'horizon':>9}{'rollouts/s':>12}{'ms a plan':>11}{'ms a plan, one by one':>23}{'ratio':>7}")
    for samples in options.samples:
        for horizon in options.horizons:
            planner = CEM(horizon, samples, max(1, samples // 8), options.iterations)

            def policy(planner: CEM = planner) -> PlanningPolicy:
                return PlanningPolicy(model, planner, bounds, episode_generators(0, options.episodes))

            def together(policy: Callable[[], PlanningPolicy] = policy) -> None:
                policy()(scene_of(frames, goals))

            def one_by_one(policy: Callable[[], PlanningPolicy] = policy) -> None:
                for row in range(options.episodes):
                    policy()(scene_of(frames, goals, row))

            batched, looped = seconds(together, options.repeats), seconds(one_by_one, options.repeats)
            rollouts = options.episodes * (samples * options.iterations + 1) / batched
            each, alone = (1000 * time_ / options.episodes for time_ in (batched, looped))
            print(
                f"{samples:>7}{horizon:>9}{rollouts:>12,.0f}{each:>11.2f}{alone:>23.2f}{looped / batched:>7.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
