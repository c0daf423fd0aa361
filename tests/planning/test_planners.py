# B episodes, S samples, H steps, A dimension of an action
"""All planners on costs whose minimum is known, by the interface that they share."""

from typing import Any

import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import ICEM, MPPI, Bounds, GradientPlanner, Planner, episode_generators

EXACT: dict[type, dict[str, Any]] = {MPPI: {"sampled": False, "iterations": 30}, GradientPlanner: {"iterations": 100}}


def exact(cls: type[Planner], **options: Any) -> Planner:
    return cls(**{**EXACT.get(cls, {}), **options})


class Chain:
    """A quadratic cost that ties the steps together: the places that actions lead to, beside a place for each step."""

    def __init__(self, episodes: int, horizon: int, size: int = 2) -> None:
        generator = torch.Generator().manual_seed(7)
        self.places = torch.rand(episodes, horizon, size, generator=generator).sub(0.5)

    def __call__(self, actions: Tensor) -> Tensor:
        return (actions.cumsum(dim=2) - self.places[: len(actions), None]).square().sum(dim=(2, 3))

    def minimum(self) -> Tensor:
        return torch.diff(self.places, dim=1, prepend=torch.zeros_like(self.places[:, :1]))


@pytest.mark.parametrize("horizon", [1, 3])
def test_the_minimum_of_a_quadratic_cost_is_found(planner_class: Any, box: Bounds, horizon: int) -> None:
    cost = Chain(4, horizon)
    plan = exact(planner_class).plan(cost, box, generators=episode_generators(0, 4), horizon=horizon)
    assert plan.actions.shape == (4, horizon, 2)
    torch.testing.assert_close(plan.actions, cost.minimum(), atol=0.01, rtol=0)
    torch.testing.assert_close(plan.cost, cost(plan.actions[:, None])[:, 0])


def test_a_minimum_outside_of_the_box_is_met_at_its_edge(planner_class: Any) -> None:
    bounds = Bounds(torch.tensor([-0.5, -2.0]), torch.tensor([0.25, 2.0]))
    goal = torch.tensor([1.0, -0.3])
    plan = exact(planner_class, horizon=2).plan(
        lambda actions: (actions - goal).square().sum(dim=(2, 3)), bounds, generators=episode_generators(0, 3)
    )
    torch.testing.assert_close(plan.actions, torch.tensor([0.25, -0.3]).expand(3, 2, 2), atol=0.01, rtol=0)
    assert bool((plan.actions <= bounds.high).all())


def test_a_minimum_outside_of_the_norm_is_met_on_the_circle(planner_class: Any) -> None:
    bounds = Bounds(torch.full((2,), -2.0), torch.full((2,), 2.0), max_norm=2.0)
    goal = torch.tensor([3.0, 4.0])
    plan = exact(planner_class, horizon=2).plan(
        lambda actions: (actions - goal).square().sum(dim=(2, 3)), bounds, generators=episode_generators(0, 3)
    )
    torch.testing.assert_close(plan.actions, torch.tensor([1.2, 1.6]).expand(3, 2, 2), atol=0.05, rtol=0)
    torch.testing.assert_close(plan.actions.norm(dim=-1), torch.full((3, 2), 2.0), atol=0.002, rtol=0)


def test_every_action_that_is_judged_is_within_the_bounds(few: Any) -> None:
    bounds = Bounds(torch.tensor([-1.0, -3.0]), torch.tensor([2.0, 3.0]), max_norm=2.5)
    seen = []

    def cost(actions: Tensor) -> Tensor:
        seen.append(actions.detach())
        return -actions.square().sum(dim=(2, 3))

    few(sigma=5.0).plan(cost, bounds, generators=episode_generators(0, 2), horizon=4)
    judged = torch.cat([actions.flatten(0, 2) for actions in seen])
    assert bool((judged >= bounds.low - 1e-6).all() and (judged <= bounds.high + 1e-6).all())
    assert 2.4 < float(judged.norm(dim=-1).max()) <= 2.5 + 1e-6


@pytest.mark.parametrize("horizon", [1, 4, 5])
def test_an_episode_is_planned_alike_alone_and_among_64(few: Any, box: Bounds, horizon: int) -> None:
    cost, planner = Chain(64, horizon), few()
    together = planner.plan(cost, box, generators=episode_generators(3, 64), horizon=horizon)
    for episode in (0, 17, 63):
        alone = Chain(64, horizon)
        alone.places = cost.places[episode : episode + 1]
        plan = planner.plan(alone, box, generators=episode_generators(3, 1, first=episode), horizon=horizon)
        assert torch.equal(plan.actions[0], together.actions[episode])
        assert torch.equal(plan.cost[0], together.cost[episode])


def test_generators_alone_decide(few: Any, box: Bounds) -> None:
    cost, planner = Chain(2, 3), few()
    far = torch.full((2, 3, 2), 0.9)
    plans = [planner.plan(cost, box, far, generators=episode_generators(seed, 2)) for seed in (0, 0, 1)]
    assert torch.equal(plans[0].actions, plans[1].actions)
    assert not torch.equal(plans[0].actions, plans[2].actions)
    before = torch.get_rng_state()
    generators = episode_generators(0, 2)
    first, second = (planner.plan(cost, box, far, generators=generators) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert not torch.equal(first.actions, second.actions)


def test_a_plan_that_is_known_already_is_a_start(planner_class: Any, box: Bounds) -> None:
    cost = Chain(3, 4)
    options = {"num_samples": 8, "iterations": 1, "sigma": 0.01}
    planner = planner_class(
        **options, **({} if planner_class is GradientPlanner else {"num_elites": 1, **kept(planner_class)})
    )
    plan = planner.plan(cost, box, cost.minimum(), generators=episode_generators(0, 3))
    torch.testing.assert_close(plan.actions, cost.minimum(), atol=1e-6, rtol=0)


def kept(cls: type[Planner]) -> dict[str, int]:
    return {"num_kept": 1} if cls is ICEM else {}


def test_a_horizon_of_0_is_out_of_range(planner_class: Any) -> None:
    with pytest.raises(
        ValueError, match=rf"^{planner_class.__name__}: horizon=0 is out of range: give a number in \[1"
    ):
        planner_class(horizon=0)
