# B episodes, S samples, K elites, H steps, A dimension of an action
"""iCEM: CEM with noise that keeps its direction, and a memory for good samples."""

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from jepa_lightning.options import (
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ShareBelowOne,
    check_options,
)
from jepa_lightning.planning.base import Cost, Plan
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.sampling import Elites, SamplingPlanner


class ICEM(SamplingPlanner):
    """Improved CEM ("Sample-efficient Cross-Entropy Method for Real-time Planning", arXiv 2008.06389).

    Against ``CEM``: the noise of neighboring steps is alike (a power spectrum ``f ** -beta``), so that samples go
    somewhere; some elites are judged again with the next samples; the mean moves in part; and the plan is the best
    sample. The defaults are the paper's ``beta`` and ``momentum``, 5 kept elites, and CEM's numbers of samples, elites
    and iterations. The paper's smaller and smaller iterations are not here.

    Args:
        horizon: steps of a plan.
        num_samples: sequences of actions in an iteration, with those that are kept.
        num_elites: the best of them.
        iterations: of drawing and judging.
        sigma: standard deviation of the first samples, in units of ``Bounds.scale``.
        beta: exponent of the noise; 0 is white noise, as of CEM.
        momentum: share of the former mean, and of the former deviation, in the next one.
        num_kept: elites that the next iteration judges again.

    Raises:
        ValueError: if an option is out of its range.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import ICEM, Bounds, episode_generators
        >>> goal, bounds = torch.tensor([0.3, -0.7]), Bounds(-torch.ones(2), torch.ones(2))
        >>> def cost(actions):  # [B, S, H, A] to [B, S]
        ...     return (actions - goal).square().sum(dim=(2, 3))
        >>> plan = ICEM(horizon=3).plan(cost, bounds, generators=episode_generators(0, 2))
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
        beta: NonNegativeFloat = 2.0,
        momentum: ShareBelowOne = 0.1,
        num_kept: NonNegativeInt = 5,
    ) -> None:
        check_options(type(self), locals())
        self._set(horizon, num_samples, num_elites, iterations, sigma, beta)
        self.momentum, self.num_kept = momentum, num_kept
        if num_kept > num_elites or num_kept >= num_samples:
            raise ValueError(
                f"ICEM: num_kept={num_kept} has to be at most num_elites={num_elites} and below "
                f"num_samples={num_samples}."
            )

    def _complete(self, samples: Tensor, elites: Elites | None) -> Tensor:
        if elites is None or not self.num_kept:
            return samples
        return torch.cat([samples[:, : self.num_samples - self.num_kept], elites.actions[:, : self.num_kept]], dim=1)

    def _refit(self, elites: Elites, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        new_std, new_mean = torch.std_mean(elites.actions, dim=1, correction=0)
        return torch.lerp(new_mean, mean, self.momentum), torch.lerp(new_std, std, self.momentum)

    def _choose(
        self, cost: Cost, bounds: Bounds, generators: Sequence[Generator], elites: Elites, mean: Tensor
    ) -> Plan:
        return Plan(elites.actions[:, 0], elites.costs[:, 0])
