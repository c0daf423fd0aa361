# B episodes, S samples, K elites, H steps, A dimension of an action
"""CEM, the cross-entropy method."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from jepa_lightning.options import NonNegativeFloat, PositiveFloat, PositiveInt, check_options
from jepa_lightning.planning.base import Cost, Plan, costs_of
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.sampling import Elites, SamplingPlanner


class CEM(SamplingPlanner):
    """Cross-entropy method: mean and deviation of the best samples replace those they were drawn with.

    The defaults are those of LeWorldModel (arXiv 2603.19312) and DINO-WM (2411.04983), whose actions have a deviation
    of 1; here the unit is ``Bounds.scale``. EB-JEPA (2602.03604) has 200 samples, 20 elites, 20 iterations and
    ``sigma=0.61``, 1.5 pixels where an action has at most 2.45. The plan is the mean, as in LeWorldModel; unlike there
    samples are clipped to the bounds.

    Args:
        horizon: steps of a plan.
        num_samples: sequences of actions in an iteration.
        num_elites: the best of them.
        iterations: of drawing and judging.
        sigma: standard deviation of the first samples, in units of ``Bounds.scale``.
        beta: exponent of the noise, whose power falls with the frequency as ``f ** -beta``: at 2 samples keep their
            direction, and a few dozen find a door. 0 is white noise.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import CEM, Bounds, episode_generators
        >>> goal, bounds = torch.tensor([0.3, -0.7]), Bounds(-torch.ones(2), torch.ones(2))
        >>> def cost(actions):  # [B, S, H, A] to [B, S]
        ...     return (actions - goal).square().sum(dim=(2, 3))
        >>> plan = CEM(horizon=3).plan(cost, bounds, generators=episode_generators(0, 2))
        >>> plan.actions.shape, bool((plan.actions - goal).abs().max() < 0.01)
        (torch.Size([2, 3, 2]), True)
    """

    def __init__(
        self,
        horizon: PositiveInt = 5,
        num_samples: PositiveInt = 300,
        num_elites: PositiveInt = 30,
        iterations: PositiveInt = 30,
        sigma: PositiveFloat = 1.0,
        beta: NonNegativeFloat = 0.0,
    ) -> None:
        check_options(type(self), locals())
        self._set(horizon, num_samples, num_elites, iterations, sigma, beta)

    def _refit(self, elites: Elites, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        std, mean = torch.std_mean(elites.actions, dim=1, correction=0)
        return mean, std

    def _choose(
        self, cost: Cost, bounds: Bounds, generators: Sequence[Generator], elites: Elites, mean: Tensor
    ) -> Plan:
        plan = bounds.clip(mean)  # rounding may take a mean across an edge
        return Plan(plan, costs_of(cost, plan[:, None])[:, 0])
