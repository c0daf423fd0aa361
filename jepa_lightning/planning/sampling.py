# B episodes, S samples, K elites, H steps, A dimension of an action
"""The loop that CEM, MPPI and iCEM share: draw, judge, keep the best, draw around them."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from jepa_lightning.options import NonNegativeFloat, PositiveFloat, PositiveInt
from jepa_lightning.planning.base import Cost, Plan, Planner, costs_of, take
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.colored_noise import colored
from jepa_lightning.planning.draws import normal


class Elites(NamedTuple):
    """The best samples of an iteration, the best one first.

    Attributes:
        actions: ``[B, K, H, A]``.
        costs: ``[B, K]``.
    """

    actions: Tensor
    costs: Tensor


class SamplingPlanner(Planner):
    """Draws sequences of actions around a mean, which moves to the best ones. A subclass sets the options too.

    Sample 0 of each iteration is the mean itself, as in LeWorldModel (arXiv 2603.19312).
    """

    num_elites: PositiveInt
    sigma: PositiveFloat
    beta: NonNegativeFloat

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
        """Plans for B episodes at once: see ``Planner.plan``."""
        mean = self._first(bounds, generators, start, horizon)
        std = (self.sigma * bounds.unit).expand_as(mean)
        elites: Elites | None = None
        for _ in range(self.iterations):
            samples = mean[:, None] + std[:, None] * self._noise(generators, mean)
            samples[:, 0] = mean
            samples = bounds.clip(self._complete(samples, elites))
            costs = costs_of(cost, samples)
            best = costs.topk(self.num_elites, dim=1, largest=False, sorted=True)
            elites = Elites(take(samples, best.indices), best.values)
            mean, std = self._refit(elites, mean, std)
        assert elites is not None  # there is at least one iteration
        return self._choose(cost, bounds, generators, elites, mean)

    def _set(
        self,
        horizon: PositiveInt,
        num_samples: PositiveInt,
        num_elites: PositiveInt,
        iterations: PositiveInt,
        sigma: PositiveFloat,
        beta: NonNegativeFloat,
    ) -> None:
        """Sets the options that all of these planners have, after their ranges were checked."""
        if num_elites > num_samples:
            raise ValueError(f"{type(self).__name__}: num_elites={num_elites} are more than num_samples={num_samples}.")
        self.horizon, self.num_samples, self.num_elites = horizon, num_samples, num_elites
        self.iterations, self.sigma, self.beta = iterations, sigma, beta

    def _noise(self, generators: Sequence[Generator], mean: Tensor) -> Tensor:
        """``[B, S, H, A]`` of mean 0 and variance 1."""
        steps, size = mean.shape[1:]
        if not self.beta:
            return normal(generators, (self.num_samples, steps, size), mean)
        spectrum = normal(generators, (self.num_samples, size, steps // 2 + 1, 2), mean)
        return colored(spectrum, steps, self.beta).transpose(2, 3)

    def _complete(self, samples: Tensor, elites: Elites | None) -> Tensor:
        """The samples that are judged, with what a planner keeps of the iteration before."""
        return samples

    @abstractmethod
    def _refit(self, elites: Elites, mean: Tensor, std: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``[B, H, A]`` of the next iteration."""

    @abstractmethod
    def _choose(
        self, cost: Cost, bounds: Bounds, generators: Sequence[Generator], elites: Elites, mean: Tensor
    ) -> Plan:
        """The plan, after the last iteration."""
