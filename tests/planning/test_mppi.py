import math

import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import MPPI, Bounds, episode_generators

GOAL = torch.tensor([[0.2, -0.1], [0.4, 0.3]])


def cost(actions: Tensor) -> Tensor:
    return (actions - GOAL).abs().sum(dim=(-2, -1))


@pytest.mark.parametrize("update", [True, False])
def test_it_is_the_weighted_mean_step_by_step(box: Bounds, update: bool) -> None:
    planner = MPPI(2, 20, 4, 3, sigma=0.5, temperature=0.3, update_sigma=update, sampled=False)
    plan = planner.plan(cost, box, generators=episode_generators(5, 1))
    (generator,) = episode_generators(5, 1)
    mean, std = torch.zeros(2, 2), torch.full((2, 2), 0.5)
    for _ in range(3):
        noise = torch.randn(20, 2, 2, generator=generator)
        samples = [mean if i == 0 else (mean + std * noise[i]).clamp(-1, 1) for i in range(20)]
        best = sorted(samples, key=lambda sample: float(cost(sample)))[:4]
        weights = [math.exp(-float(cost(sample) - cost(best[0])) / 0.3) for sample in best]
        total = sum(weights)
        mean = sum(weight * sample for weight, sample in zip(weights, best, strict=True)) / total
        if update:
            squares = (weight * (sample - mean) ** 2 for weight, sample in zip(weights, best, strict=True))
            std = (sum(squares) / total) ** 0.5
    torch.testing.assert_close(plan.actions[0], mean)


def test_the_published_plan_is_one_of_the_elites_drawn_by_weight(box: Bounds) -> None:
    judged = []

    def watched(actions: Tensor) -> Tensor:
        judged.append(actions)
        return cost(actions)

    planner = MPPI(2, 20, 2, 1, temperature=0.5)
    plan = planner.plan(watched, box, generators=episode_generators(0, 400))
    (samples,) = judged
    costs, order = cost(samples).sort(dim=1)
    ranks = []
    for episode in range(400):
        best = [samples[episode, order[episode, rank]] for rank in range(2)]
        ranks.append([torch.equal(plan.actions[episode], action) for action in best].index(True))
    torch.testing.assert_close(plan.cost, costs[torch.arange(400), torch.tensor(ranks)])
    expected = torch.softmax(-costs[:, :2] / 0.5, dim=1)[:, 1].double()
    deviation = float((expected * (1 - expected)).sum().sqrt())
    assert abs(sum(ranks) - float(expected.sum())) < 4 * deviation
