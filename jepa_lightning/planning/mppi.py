# B episodes, S samples, K elites, H steps, A dimension of an action
"""MPPI, model-predictive path integral control."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from jepa_lightning.options import NonNegativeFloat, PositiveFloat, PositiveInt, check_options
from jepa_lightning.planning.base import Cost, Plan, costs_of, take
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.draws import pick
from jepa_lightning.planning.sampling import Elites, SamplingPlanner


class MPPI(SamplingPlanner):
    """Model-predictive path integral: the best samples count by how good they are.

    The defaults are those of EB-JEPA (arXiv 2602.03604): 200 samples, 20 elites, 20 iterations, weights
    ``exp(0.005 * (least cost - cost))``, which are nearly equal, weighted mean and deviation, and a plan that is drawn
    among the elites by these weights. Its first deviation of 2 pixels, where an action has at most 2.45, is 0.82 here.
    ``MPPI(num_elites=30, temperature=0.5, update_sigma=False, sampled=False)`` is the form of stable-worldmodel
    (2605.21800).

    Args:
        horizon: steps of a plan.
        num_samples: sequences of actions in an iteration.
        num_elites: the best of them, which alone have a weight.
        iterations: of drawing and judging.
        sigma: standard deviation of the first samples, in units of ``Bounds.scale``.
        temperature: by which costs are divided; the higher, the more equal are the weights.
        update_sigma: whether the deviation becomes that of the elites.
        sampled: whether the plan is one of the elites, drawn by their weights; otherwise it is the weighted mean.
        beta: exponent of the noise, whose power falls with the frequency as ``f ** -beta``: at 2 samples keep their
            direction, and a few dozen find a door. 0 is white noise.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import MPPI, Bounds, episode_generators
        >>> goal, bounds = torch.tensor([0.3, -0.7]), Bounds(-torch.ones(2), torch.ones(2))
        >>> def cost(actions):  # [B, S, H, A] to [B, S]
        ...     return (actions - goal).square().sum(dim=(2, 3))
        >>> plan = MPPI(horizon=3).plan(cost, bounds, generators=episode_generators(0, 2))
        >>> plan.actions.shape, bool((plan.actions - goal).abs().max() < 0.05)
        (torch.Size([2, 3, 2]), True)
    """

    def __init__(
        self,
        horizon: PositiveInt = 90,
        num_samples: PositiveInt = 200,
        num_elites: PositiveInt = 20,
        iterations: PositiveInt = 20,
        sigma: PositiveFloat = 0.82,
        temperature: PositiveFloat = 200.0,
        update_sigma: bool = True,
        sampled: bool = True,
        beta: NonNegativeFloat = 0.0,
    ) -> None:
        check_options(type(self), locals())
        self._set(horizon, num_samples, num_elites, iterations, sigma, beta)
        self.temperature, self.update_sigma, self.sampled = temperature, update_sigma, sampled

    def _weights(self, elites: Elites) -> Tensor:
        """Of the elites, ``[B, K]``, with sum 1."""
        return torch.softmax((elites.costs[:, :1] - elites.costs) / self.temperature, dim=1)

    def _refit(self, elites: Elites, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        weights = self._weights(elites)[:, :, None, None]
        mean = (weights * elites.actions).sum(dim=1)
        if self.update_sigma:
            std = (weights * (elites.actions - mean[:, None]).square()).sum(dim=1).sqrt()
        return mean, std

    def _choose(
        self, cost: Cost, bounds: Bounds, generators: Sequence[Generator], elites: Elites, mean: Tensor
    ) -> Plan:
        if not self.sampled:
            plan = bounds.clip(mean)  # rounding may take a mean across an edge
            return Plan(plan, costs_of(cost, plan[:, None])[:, 0])
        chosen = pick(generators, self._weights(elites))[:, None]
        return Plan(take(elites.actions, chosen)[:, 0], elites.costs.gather(1, chosen)[:, 0])
