import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import Bounds, GradientPlanner, episode_generators


def test_it_is_projected_adam_and_keeps_the_best(box: Bounds) -> None:
    """One sample against torch's Adam in a loop; the rate is so high that the last step is not the best one."""
    goal = torch.tensor([[0.2, -0.4]])

    def cost(actions: Tensor) -> Tensor:
        return (actions - goal).square().sum(dim=(-2, -1))

    plan = GradientPlanner(1, num_samples=1, iterations=6, lr=0.3).plan(cost, box, generators=episode_generators(0, 1))
    action = torch.zeros(1, 2, requires_grad=True)
    adam, tried = torch.optim.Adam([action], lr=0.3), []
    for _ in range(7):
        tried.append((float(cost(action.detach())), action.detach().clone()))
        adam.zero_grad()
        cost(action).backward()
        adam.step()
        with torch.no_grad():
            action.clamp_(-1, 1)
    best = min(tried, key=lambda pair: pair[0])
    assert best[0] < tried[-1][0]
    torch.testing.assert_close(plan.cost, torch.tensor([best[0]]))
    torch.testing.assert_close(plan.actions[0], best[1])


def test_a_rate_means_the_same_in_any_unit() -> None:
    small = GradientPlanner(2, 4, 5).plan(
        lambda a: (a - 0.4).square().sum(dim=(2, 3)),
        Bounds(-torch.ones(1), torch.ones(1)),
        generators=episode_generators(0, 1),
    )
    large = GradientPlanner(2, 4, 5).plan(
        lambda a: (a / 64 - 0.4).square().sum(dim=(2, 3)),
        Bounds(torch.tensor([-64.0]), torch.tensor([64.0])),
        generators=episode_generators(0, 1),
    )
    torch.testing.assert_close(large.actions, 64 * small.actions)


def test_no_gradient_stays_in_a_network(box: Bounds) -> None:
    network = torch.nn.Linear(2, 1)
    GradientPlanner(2, 4, 2).plan(
        lambda a: network(a).square().sum(dim=(2, 3)), box, generators=episode_generators(0, 1)
    )
    assert network.weight.grad is None


def test_a_cost_without_a_gradient_is_one_line(box: Bounds) -> None:
    with pytest.raises(ValueError, match=r"^the cost has no gradient with respect to the actions: plan with CEM"):
        GradientPlanner(2, 4, 2).plan(lambda a: a.detach().sum(dim=(2, 3)), box, generators=episode_generators(0, 1))


def test_the_last_step_counts_too(box: Bounds) -> None:
    """A single step down a slope: without it the plan would be where the search began."""
    plan = GradientPlanner(1, num_samples=1, iterations=1, lr=0.25).plan(
        lambda a: a.sum(dim=(2, 3)), box, generators=episode_generators(0, 1)
    )
    torch.testing.assert_close(plan.actions, torch.full((1, 1, 2), -0.25))
    torch.testing.assert_close(plan.cost, torch.tensor([-0.5]))
