from typing import Any

import pytest
import torch

from jepa_lightning.cli.planning.diagnose import distance_table, rollout_table
from jepa_lightning.planning import Bounds
from jepa_lightning.planning.episodes import Episodes
from jepa_lightning.planning.task import Task


class Places:
    """A model whose state is the gray level of a frame, and which knows that actions are added to it."""

    history = 1

    def clip(self, frames: Any) -> Any:
        return frames.float().movedim(4, 1)

    def encode(self, clip: Any) -> Any:
        return clip.flatten(3).mean(dim=3).movedim(1, 2)

    def rollout(self, history: Any, actions: Any, past_actions: Any = None) -> Any:
        return history[:, -1:] + actions.sum(dim=2, keepdim=True).cumsum(dim=1)

    def cost(self, rollout: Any, goal: Any, reduce: str = "sum") -> Any:
        return (rollout - goal[:, None]).square().sum(dim=(1, 2))


def recorded(steps: list[int], positions: bool = True) -> Episodes:
    """Episodes of gray levels that rise by actions; what follows their end is of no meaning."""
    torch.manual_seed(0)
    number, longest = len(steps), max(steps)
    actions = torch.randint(0, 4, (number, longest, 1)).float()
    levels = 10 + torch.cat([torch.zeros(number, 1, 1), actions.cumsum(dim=1)], dim=1)
    frames = levels[..., None, None].expand(-1, -1, 2, 2, 1).to(torch.uint8).clone()
    for row, length in enumerate(steps):
        frames[row, length + 1 :] = 200
    goals = torch.full((number, 2, 2, 1), 40, dtype=torch.uint8)
    places = levels if positions else torch.zeros(number, longest + 1, 0)
    ends = torch.full((number, 1 if positions else 0), 40.0)
    return Episodes(torch.zeros(number, dtype=torch.bool), torch.tensor(steps), goals, frames, actions, places, ends)


def task(skip: int = 1) -> Task:
    return Task("World", None, Places(), Bounds(-torch.ones(1), torch.ones(1)), skip, 20)


@pytest.mark.parametrize(
    ("steps", "skip", "length"), [([16, 16], 1, 16), ([16, 9], 1, 8), ([18, 17], 2, 8), ([2, 1], 1, 1)]
)
def test_rollouts_are_as_long_as_there_are_two_windows(steps: list[int], skip: int, length: int) -> None:
    found = rollout_table(task(skip), recorded(steps))
    assert found is not None
    assert found["true"] == pytest.approx([0.0] * length, abs=1e-6)
    assert len(found["none"]) == length
    assert max(found["none"]) > 0


def test_no_window_is_no_table() -> None:
    assert rollout_table(task(skip=4), recorded([3, 3])) is None


def test_distances_in_representation_rise_with_those_in_the_world() -> None:
    found = distance_table(task(), recorded([16, 5, 9]))
    assert found is not None
    assert found["rank_correlation"] == pytest.approx(1.0)
    assert found["latent"] == sorted(found["latent"])
    assert max(found["true"]) <= 30  # frames after an end would be 160 away


def test_unknown_positions_are_no_table() -> None:
    assert distance_table(task(), recorded([16, 5], positions=False)) is None
