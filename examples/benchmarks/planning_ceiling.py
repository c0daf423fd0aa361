# B rows, T frames, K steps
"""What a search reaches with a perfect model: how much of a world model's failures is the planner's.

python examples/benchmarks/planning_ceiling.py --episodes 40 --sigma 0.5 --reduce sum

The model reads positions, wall and door from the pixels of two rooms and moves as the environment does, without noise.
Its cost grows with the distance to the goal as that of a trained model does (a run at commit 3e060ae).
"""

import argparse

import gymnasium
import numpy as np
import torch
from torch import Tensor

import jepa_lightning.worlds  # noqa: F401  # registers the environment
from jepa_lightning.evaluation import wilson_interval
from jepa_lightning.planning import MPPI, Bounds, PlanningPolicy, episode_generators, run_episodes
from jepa_lightning.planning.protocol import QUICK, QUICK_COST, build_planner
from jepa_lightning.worlds.two_rooms import LINES, SIZE, move

SKIP = 4  # actions from a frame to the next, as in configs/world/quickstart.yaml
# pixels, and what a trained model made of them
DISTANCE = (0.0, 4.8, 9.8, 14.7, 18.9, 22.3, 25.1, 28.5, 32.7, 37.2, 45.9, 70.0)
COST = (0.0, 0.035, 0.123, 0.219, 0.305, 0.365, 0.414, 0.43, 0.477, 0.496, 0.61, 0.8)


class PerfectModel:
    """Two rooms as they are; a state is x, y, the column of the wall and the row of the door."""

    def clip(self, frames: Tensor) -> Tensor:
        """Frames uint8 ``[B, T, H, W, C]`` to ``[B, C, T, H, W]``."""
        return torch.as_tensor(frames).float().permute(0, 4, 1, 2, 3)

    def encode(self, clip: Tensor) -> Tensor:
        """``[B, C, T, H, W]`` to ``[B, T, 4]``."""
        places, inside = torch.arange(float(SIZE)), slice(LINES[0] + 1, LINES[1])
        dot, walls = clip[:, 0], clip[:, 1, ..., inside, inside] > 0
        x, y = (_mean(dot.sum(axis), places) for axis in (-2, -1))
        column = _mean((walls.sum(-2) > walls.shape[-2] // 2).float(), places[inside]).round()
        middle = (column - inside.start).long()[..., None, None].expand(*walls.shape[:-1], 1)
        door = _mean(1.0 - walls.float().gather(-1, middle)[..., 0], places[inside]).round()
        return torch.stack([x, y, column, door], dim=-1)

    def rollout(self, history: Tensor, actions: Tensor, past_actions: Tensor | None = None) -> Tensor:
        """``[B, T, 4]`` under ``[B, K, 2 * SKIP]`` to ``[B, K, 4]``."""
        position, layout = history[:, -1, :2].double().numpy(), history[:, -1, 2:].long().numpy()
        steps = actions.double().numpy().reshape(len(actions), -1, 2)
        positions = []
        for step in steps.swapaxes(0, 1):
            position = move(position, step, layout[:, 0], layout[:, 1], np.zeros(len(step)))
            positions.append(position)
        reached = torch.tensor(np.stack(positions[SKIP - 1 :: SKIP], axis=1)).float()
        return torch.cat([reached, history[:, -1:, 2:].expand(-1, reached.shape[1], -1)], dim=-1)

    def cost(self, rollout: Tensor, goal: Tensor, reduce: str = "sum") -> Tensor:
        """Of ``[B, K, 4]`` to ``[B, 4]``: ``[B]``."""
        distance = (rollout[..., :2] - goal[:, None, :2]).norm(dim=-1)
        cost = torch.tensor(np.interp(distance.numpy(), DISTANCE, COST)).float()
        return cost.sum(dim=1) if reduce == "sum" else cost[:, -1]


def _mean(weights: Tensor, places: Tensor) -> Tensor:
    return (weights * places).sum(-1) / weights.sum(-1)


def main(args: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--episodes", type=int, default=40)
    parser.add_argument("--max_steps", type=int, default=200, help="actions of an episode")
    parser.add_argument("--num_samples", type=int, default=QUICK["num_samples"])
    parser.add_argument("--sigma", type=float, default=QUICK["sigma"], help="deviation of the first samples")
    parser.add_argument("--reduce", choices=("sum", "last"), default=QUICK_COST, help="steps whose cost counts")
    options = parser.parse_args(args)
    env = gymnasium.make_vec("jepa_lightning/TwoRooms-v0", num_envs=options.episodes)
    planner = build_planner(MPPI, {"num_samples": options.num_samples, "sigma": options.sigma}, "quick", SKIP)
    bounds = Bounds(torch.full((2,), -2.45), torch.full((2,), 2.45), max_norm=2.45)
    generators = episode_generators(0, options.episodes)
    policy = PlanningPolicy(
        PerfectModel(), planner, bounds, generators, replan_every=SKIP, reduce=options.reduce, frame_skip=SKIP
    )
    found = run_episodes(env, policy, range(options.episodes), options.max_steps, size=2)
    reached = int(found.success.sum())
    low, high = wilson_interval(reached, options.episodes)
    print(f"{reached} of {options.episodes} goals reached: {low:.0%} to {high:.0%} with 95 % confidence")


if __name__ == "__main__":
    main()
