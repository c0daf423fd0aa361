# B episodes, S samples, H steps, A dimension of an action
"""Planning by the gradient of the cost with respect to the actions."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from jepa_lightning.options import LearningRate, PositiveFloat, PositiveInt, check_options
from jepa_lightning.planning.base import Cost, Plan, Planner, costs_of, take
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.draws import normal


class GradientPlanner(Planner):
    """Moves several sequences of actions down the gradient of their cost by Adam, and keeps the best one.

    The defaults are those of LeWorldModel (arXiv 2603.19312): 100 samples, 30 steps, a rate of 0.1; without its weight
    decay, which would pull actions to zero. DINO-WM (2411.04983) has one sample, a rate of 1 and 1,000 steps. Actions
    are clipped to the bounds after each step.

    Args:
        horizon: steps of a plan.
        num_samples: sequences that are moved; sample 0 starts at the start of the search, the others around it.
        iterations: steps of Adam.
        lr: of Adam, in units of ``Bounds.scale``.
        sigma: standard deviation of the first samples, in units of ``Bounds.scale``.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import Bounds, GradientPlanner, episode_generators
        >>> goal, bounds = torch.tensor([0.3, -0.7]), Bounds(-torch.ones(2), torch.ones(2))
        >>> def cost(actions):  # [B, S, H, A] to [B, S]
        ...     return (actions - goal).square().sum(dim=(2, 3))
        >>> plan = GradientPlanner(horizon=3).plan(cost, bounds, generators=episode_generators(0, 2))
        >>> plan.actions.shape, bool((plan.actions - goal).abs().max() < 0.05)
        (torch.Size([2, 3, 2]), True)
    """

    def __init__(
        self,
        horizon: PositiveInt = 5,
        num_samples: PositiveInt = 100,
        iterations: PositiveInt = 30,
        lr: LearningRate = 0.1,
        sigma: PositiveFloat = 1.0,
    ) -> None:
        check_options(type(self), locals())
        self.horizon, self.num_samples, self.iterations = horizon, num_samples, iterations
        self.lr, self.sigma = lr, sigma

    @torch.no_grad()
    def plan(
        self,
        cost: Cost,
        bounds: Bounds,
        start: Tensor | None = None,
        *,
        generators: Sequence[Generator],
        horizon: PositiveInt | None = None,
    ) -> Plan:
        """Plans for B episodes at once: see ``Planner.plan``.

        Raises:
            ValueError: as there, and if the cost has no gradient.
        """
        first = self._first(bounds, generators, start, horizon)
        noise = normal(generators, (self.num_samples, *first.shape[1:]), first)
        actions = first[:, None] + self.sigma * bounds.unit * noise
        actions[:, 0] = first
        # in units of the scale, so that a rate means the same in each dimension
        moved = (bounds.clip(actions) / bounds.unit).requires_grad_()
        adam = torch.optim.Adam([moved], lr=self.lr)
        best, least = first, torch.full((len(first),), torch.inf).to(first)
        for step in range(self.iterations + 1):
            with torch.enable_grad():
                tried = moved * bounds.unit
                costs = costs_of(cost, tried)
            best, least = _better(tried.detach(), costs.detach(), best, least)
            if step < self.iterations:
                moved.grad = _gradient(costs, moved)
                adam.step()
                moved.copy_(bounds.clip(moved * bounds.unit) / bounds.unit)
        return Plan(bounds.clip(best), least)


def _gradient(costs: Tensor, moved: Tensor) -> Tensor:
    """Of each cost with respect to its own actions: those of the others do not matter to it."""
    if not costs.requires_grad:
        raise ValueError("the cost has no gradient with respect to the actions: plan with CEM, MPPI or ICEM.")
    (gradient,) = torch.autograd.grad(costs, moved, torch.ones_like(costs))
    return gradient


def _better(tried: Tensor, costs: Tensor, best: Tensor, least: Tensor) -> tuple[Tensor, Tensor]:
    """The best plan so far, ``[B, H, A]``, and its cost ``[B]``."""
    cost, index = costs.min(dim=1)
    chosen = take(tried, index[:, None])[:, 0]
    return torch.where((cost < least)[:, None, None], chosen, best), torch.minimum(cost, least)
