# B episodes, S samples, K elites, H steps, A dimension of an action
from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import CEM, ICEM, MPPI, Bounds, Plan, episode_generators
from jepa_lightning.planning.sampling import Elites, SamplingPlanner


class Keeps(SamplingPlanner):
    """Moves its mean to the best sample, keeps what it saw, and plans the mean."""

    def __init__(self, **options: Any) -> None:
        self._set(
            **{"horizon": 3, "num_samples": 8, "num_elites": 4, "iterations": 2, "sigma": 0.5, "beta": 0.0, **options}
        )
        self.seen: list[Elites] = []

    def _refit(self, elites: Elites, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        self.seen.append(elites)
        return elites.actions[:, 0], std / 2

    def _choose(self, cost: Any, bounds: Bounds, generators: Any, elites: Elites, mean: Tensor) -> Plan:
        return Plan(mean, elites.costs[:, 0])


def test_the_best_samples_are_kept_the_best_one_first(box: Bounds) -> None:
    planner, judged = Keeps(), []

    def cost(actions: Tensor) -> Tensor:
        judged.append((actions, actions.square().sum(dim=(2, 3))))
        return judged[-1][1]

    plan = planner.plan(cost, box, torch.full((2, 3, 2), 0.8), generators=episode_generators(0, 2))
    assert len(judged) == len(planner.seen) == 2
    for (actions, costs), elites in zip(judged, planner.seen, strict=True):
        order = costs.argsort(dim=1)[:, :4]
        assert torch.equal(elites.costs, costs.gather(1, order))
        assert torch.equal(elites.actions[1], actions[1, order[1]])
    assert torch.equal(plan.actions, planner.seen[1].actions[:, 0])


def test_sample_0_is_the_mean_and_the_others_are_around_it(box: Bounds) -> None:
    planner, seen = Keeps(num_samples=4000, num_elites=1), []

    def cost(actions: Tensor) -> Tensor:
        seen.append(actions)
        return actions.square().sum(dim=(2, 3))

    wide = Bounds(torch.full((2,), -50.0), torch.full((2,), 50.0), scale=torch.tensor([1.0, 4.0]))
    start = torch.tensor([1.0, -2.0]).expand(1, 3, 2)
    planner.plan(cost, wide, start, generators=episode_generators(0, 1))
    first, second = seen
    assert torch.equal(first[0, 0], start[0])
    torch.testing.assert_close(first[0].mean(dim=0), start[0], atol=0.15, rtol=0)
    torch.testing.assert_close(first[0].std(dim=0), torch.tensor([0.5, 2.0]).expand(3, 2), atol=0.08, rtol=0)
    assert torch.equal(second[0, 0], planner.seen[0].actions[0, 0])
    torch.testing.assert_close(second[0].std(dim=0), torch.tensor([0.25, 1.0]).expand(3, 2), atol=0.04, rtol=0)


@pytest.mark.parametrize("cls", [CEM, MPPI, ICEM])
def test_more_elites_than_samples_are_refused(cls: Any) -> None:
    with pytest.raises(ValueError, match=rf"^{cls.__name__}: num_elites=9 are more than num_samples=8\.$"):
        cls(num_samples=8, num_elites=9)
