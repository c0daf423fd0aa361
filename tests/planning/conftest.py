# E episodes, H W height, width of an image, A dimension of an action
"""A world whose best plan is known: a point in the plane that moves by its actions, and a model that sees it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from jepa_lightning.planning import CEM, ICEM, MPPI, Bounds, GradientPlanner, Planner

SIDE, UNIT = 4, 16  # pixels of an image; gray levels for one unit of length


class PlaneEnv:
    """A vector environment; the two halves of an image are as gray as the point's coordinates are large."""

    def __init__(self, radius: float = 0.25, noise: float = 0.0, names_success: bool = True) -> None:
        self.radius, self.noise, self.names_success = radius, noise, names_success
        self.executed: list[np.ndarray] = []

    def reset(self, *, seed: Sequence[int], options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        places = [np.random.default_rng(s).uniform([1, 1, 8, 8], [6, 6, 14, 14]) for s in seed]
        self.position, self.goal = np.stack(places)[:, :2], np.stack(places)[:, 2:]
        return self._image(self.position), self._info()

    def step(self, actions: np.ndarray) -> tuple[Any, ...]:
        self.executed.append(actions.copy())
        self.position = np.clip(self.position + actions, 0, 255 / UNIT)
        info = self._info()
        ended = np.zeros(len(actions), bool)
        return self._image(self.position), 0.0, self._success(), ended, info

    def _success(self) -> np.ndarray:
        return np.linalg.norm(self.position - self.goal, axis=1) < self.radius

    def _info(self) -> dict[str, Any]:
        info = {"position": self.position, "goal": self.goal, "goal_image": self._image(self.goal)}
        return {**info, "success": self._success()} if self.names_success else info

    def _image(self, places: np.ndarray) -> np.ndarray:
        gray = np.rint(places * UNIT).astype(np.uint8)
        image = np.empty((len(places), SIDE, SIDE, 1), np.uint8)
        image[:, : SIDE // 2], image[:, SIDE // 2 :] = gray[:, 0, None, None, None], gray[:, 1, None, None, None]
        return image


class PlaneModel:
    """Sees the coordinates, knows how actions move them, and keeps what it was asked."""

    def __init__(self, skip: int = 1) -> None:
        self.skip, self.encoded, self.pasts = skip, 0, list[Tensor | None]()

    def clip(self, frames: Tensor) -> Tensor:
        assert frames.dtype == torch.uint8
        return frames.float().movedim(4, 1) / UNIT

    def encode(self, clip: Tensor) -> Tensor:
        self.encoded += 1
        halves = clip[:, 0].unflatten(2, (2, -1)).flatten(3)  # [B, T, 2, pixels]
        return halves.mean(dim=3)

    def rollout(self, history: Tensor, actions: Tensor, past_actions: Tensor | None = None) -> Tensor:
        self.pasts.append(past_actions)
        moves = actions.unflatten(2, (self.skip, 2)).sum(dim=2)
        return history[:, -1:] + moves.cumsum(dim=1)

    def cost(self, rollout: Tensor, goal: Tensor, reduce: str = "sum") -> Tensor:
        distance = (rollout - goal[:, None]).square().mean(dim=-1)
        return distance.sum(dim=1) if reduce == "sum" else distance[:, -1]


@pytest.fixture(params=(CEM, MPPI, ICEM, GradientPlanner), ids=lambda cls: cls.__name__)
def planner_class(request: Any) -> type[Planner]:
    return request.param


@pytest.fixture
def few(planner_class: type[Planner]) -> Callable[..., Planner]:
    """Builds it with few samples and iterations."""
    elites = {} if planner_class is GradientPlanner else {"num_elites": 6}
    return lambda **options: planner_class(**{"num_samples": 16, "iterations": 3, **elites, **options})


@pytest.fixture
def box() -> Bounds:
    return Bounds(-torch.ones(2), torch.ones(2))


@pytest.fixture
def plane_env() -> type[PlaneEnv]:
    return PlaneEnv


@pytest.fixture
def plane_model() -> type[PlaneModel]:
    return PlaneModel
