# B episodes, S samples, H steps, A dimension of an action
"""What all planners share: the interface, and the checks of what they are given."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from torch import Generator, Tensor

from jepa_lightning.options import PositiveInt
from jepa_lightning.planning.bounds import Bounds

Cost = Callable[[Tensor], Tensor]  # of actions [B, S, H, A], [B, S]


class Plan(NamedTuple):
    """What a planner has found.

    Attributes:
        actions: ``[B, H, A]`` in the environment's units, within the bounds.
        cost: ``[B]``, what the cost says about them.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import CEM, Bounds, episode_generators
        >>> bounds = Bounds(-torch.ones(2), torch.ones(2))
        >>> actions, cost = CEM().plan(lambda a: a.sum(dim=(2, 3)), bounds, generators=episode_generators(0, 4))
        >>> actions.shape, cost.shape
        (torch.Size([4, 5, 2]), torch.Size([4]))
    """

    actions: Tensor
    cost: Tensor


class Planner(ABC):
    """Looks for actions of low cost. It knows a cost and bounds, neither a network nor an environment.

    A subclass sets ``horizon``, ``num_samples`` and ``iterations``.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import Bounds, Plan, Planner
        >>> class StandStill(Planner):
        ...     horizon, num_samples, iterations = 5, 1, 1
        ...     def plan(self, cost, bounds, start=None, *, generators, horizon=None):
        ...         actions = torch.zeros(len(generators), horizon or self.horizon, bounds.size)
        ...         return Plan(actions, cost(actions[:, None])[:, 0])
        >>> bounds, generator = Bounds(-torch.ones(2), torch.ones(2)), torch.Generator()
        >>> StandStill().plan(lambda actions: actions.sum(dim=(2, 3)), bounds, generators=[generator]).cost
        tensor([0.])
    """

    horizon: PositiveInt
    num_samples: PositiveInt
    iterations: PositiveInt

    @abstractmethod
    def plan(
        self,
        cost: Cost,
        bounds: Bounds,
        start: Tensor | None = None,
        *,
        generators: Sequence[Generator],
        horizon: PositiveInt | None = None,
    ) -> Plan:
        """Plans for B episodes at once.

        Args:
            cost: gives the cost ``[B, S]`` of actions ``[B, S, H, A]``; finite, and less is better. The number of
                samples S is the planner's, and 1 where it asks for the cost of a single plan.
            bounds: which actions there are.
            generators: one for each episode, so that the plan of an episode does not depend on the others.
            start: ``[B, H, A]``, where the search begins, such as what ``shift`` makes of the plan before; the middle
                of the bounds by default. Its length is the horizon of this plan.
            horizon: of this plan, where there is no ``start``; the planner's by default.

        Raises:
            ValueError: if the shapes do not fit, or a cost is not finite.
        """

    def __repr__(self) -> str:
        """The options, as they would be given."""
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in vars(self).items())})"

    def _first(
        self, bounds: Bounds, generators: Sequence[Generator], start: Tensor | None, horizon: PositiveInt | None
    ) -> Tensor:
        """Where the search begins, ``[B, H, A]``."""
        episodes = len(generators)
        if start is None:
            steps = self.horizon if horizon is None else horizon
            if episodes < 1 or steps < 1:
                raise ValueError(f"{episodes} episodes over a horizon of {steps}: a plan needs at least 1 of each.")
            return bounds.center.expand(episodes, steps, bounds.size)
        if start.ndim != 3 or len(start) != episodes or start.shape[2] != bounds.size or not start.numel():
            wanted = f"[{episodes}, horizon, {bounds.size}]"
            raise ValueError(f"start has the shape {list(start.shape)}, not {wanted}: episodes, horizon, actions.")
        if horizon not in (None, start.shape[1]):
            raise ValueError(f"start has {start.shape[1]} steps, and horizon={horizon}: give one of the two.")
        return bounds.clip(start.to(bounds.low))


def costs_of(cost: Cost, actions: Tensor) -> Tensor:
    """The cost of actions, checked.

    Args:
        cost: as for ``Planner.plan``.
        actions: ``[B, S, H, A]``.

    Raises:
        ValueError: if it is of another shape, or not finite.
    """
    costs = cost(actions)
    if costs.shape != actions.shape[:2]:
        raise ValueError(f"the cost of actions {list(actions.shape)} has the shape {list(costs.shape)}, not [B, S].")
    if not bool(costs.isfinite().all()):
        bad = int((~costs.isfinite()).sum())
        raise ValueError(
            f"the cost of {bad} of {costs.numel()} sequences of actions is not finite: nothing can be planned with it. "
            "Is the checkpoint sound, and are the bounds those of the training data?"
        )
    return costs


def take(samples: Tensor, indices: Tensor) -> Tensor:
    """Some samples of each episode, ``[B, K, H, A]``.

    Args:
        samples: ``[B, S, H, A]``.
        indices: int64 ``[B, K]``.
    """
    return samples.gather(1, indices[:, :, None, None].expand(-1, -1, *samples.shape[2:]))
