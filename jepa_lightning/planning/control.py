# n running episodes, T0 frames of history, F frame skip, A dimension of an action, H steps
"""Model-predictive control: plan, execute the first actions, look again."""

import time
from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from jepa_lightning.options import PositiveInt, check_options
from jepa_lightning.planning.base import Planner
from jepa_lightning.planning.bounds import Bounds
from jepa_lightning.planning.episodes import Scene
from jepa_lightning.planning.latent import LatentCost, LatentModel, Reduce
from jepa_lightning.planning.warm_start import shift


class PlanningPolicy:
    """Plans in the representation of a world model, and executes the first actions of each plan.

    The present frames are encoded once a plan, and goals once an episode. A plan reaches as far as the planner's
    horizon, and no further than the steps that are left. The next search begins with the rest of the plan before.

    Args:
        model: in eval mode, on its device.
        planner: looks for actions; its horizon is in steps of the environment.
        bounds: which actions there are.
        generators: one for each episode.
        replan_every: actions that are executed of each plan.
        reduce: the distance to the goal summed over all steps, or of the last step.
        warm_start: whether a search begins with the plan before.
        history: T0, frames that the model looks back at most.
        frame_skip: F, actions of the environment for one step of the model.
        rollouts_at_once: limits memory.

    Raises:
        ValueError: if an option is out of its range, or the horizon or ``replan_every`` is no multiple of F.

    Attributes:
        seconds: spent on planning so far.
        plans: made so far, for one episode each.

    Example:
        >>> import torch
        >>> from jepa_lightning.planning import CEM, Bounds, PlanningPolicy, episode_generators
        >>> bounds = Bounds(-torch.ones(2), torch.ones(2))
        >>> policy = PlanningPolicy(None, CEM(horizon=8), bounds, episode_generators(0, 4), replan_every=4)
        >>> policy.plans
        0
    """

    def __init__(
        self,
        model: LatentModel,
        planner: Planner,
        bounds: Bounds,
        generators: Sequence[Generator],
        replan_every: PositiveInt = 1,
        reduce: Reduce = "sum",
        warm_start: bool = True,
        history: PositiveInt = 1,
        frame_skip: PositiveInt = 1,
        rollouts_at_once: PositiveInt = 4096,
    ) -> None:
        check_options(type(self), locals())
        for name, value in (("horizon", planner.horizon), ("replan_every", replan_every)):
            if value % frame_skip:
                raise ValueError(f"{name}={value} is no multiple of the model's frame skip of {frame_skip} actions.")
        if replan_every > planner.horizon:
            raise ValueError(f"replan_every={replan_every} is more than horizon={planner.horizon} has actions.")
        self.model, self.planner, self.bounds, self.generators = model, planner, bounds, list(generators)
        self.replan_every, self.reduce, self.warm_start = replan_every, reduce, warm_start
        self.history, self.frame_skip, self.rollouts_at_once = history, frame_skip, rollouts_at_once
        self.seconds, self.plans = 0.0, 0
        self._last: Tensor | None = None  # plans of all episodes, [E, H, A]
        self._goals: dict[int, Tensor] = {}  # of each episode, encoded

    @property
    def memory(self) -> int:
        """Frames that the policy looks at: those of the history, and those that are skipped between them."""
        return (self.history - 1) * self.frame_skip + 1

    def __call__(self, scene: Scene) -> Tensor:
        """The next actions of the running episodes, ``[n, replan_every, A]``."""
        begin = time.perf_counter()
        # at the end a model that skips frames plans for one step, of which a part is executed
        horizon = max(min(self.planner.horizon, scene.steps_left) // self.frame_skip, 1) * self.frame_skip
        plan = self.planner.plan(
            self._cost(scene),
            self.bounds,
            self._start(scene.running, horizon),
            generators=[self.generators[i] for i in scene.running.tolist()],
            horizon=horizon,
        )
        if self._last is None or self._last.shape[1] != horizon:
            self._last = torch.zeros(len(self.generators), horizon, self.bounds.size).to(plan.actions)
        self._last[scene.running.to(plan.actions.device)] = plan.actions
        self.seconds += time.perf_counter() - begin
        self.plans += len(scene.running)
        return plan.actions[:, : self.replan_every]

    @torch.no_grad()
    def _cost(self, scene: Scene) -> LatentCost:
        device = self.bounds.low.device
        skip, frames = self.frame_skip, scene.frames
        seen = frames[:, (frames.shape[1] - 1) % skip :: skip].to(device)
        past = scene.actions[:, scene.actions.shape[1] % skip :].to(device)
        past = past.reshape(len(past), past.shape[1] // skip, skip * self.bounds.size)
        history, goals = self._encode(seen), self._encoded_goals(scene)
        return LatentCost(self.model, history, past, goals, self.reduce, skip, self.rollouts_at_once)

    def _encoded_goals(self, scene: Scene) -> Tensor:
        numbers = scene.running.tolist()
        if new := [row for row, number in enumerate(numbers) if number not in self._goals]:
            states = self._encode(scene.goals[new, None].to(self.bounds.low.device))[:, 0]
            self._goals |= {numbers[row]: state for row, state in zip(new, states, strict=True)}
        return torch.stack([self._goals[number] for number in numbers])

    def _encode(self, frames: Tensor) -> Tensor:
        return self.model.encode(self.model.clip(frames))

    def _start(self, running: Tensor, horizon: int) -> Tensor | None:
        if self._last is None or not self.warm_start:
            return None
        last = self._last[running.to(self._last.device)]
        return shift(last, self.replan_every, horizon, self.bounds)
