from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jepa_lightning import VJEPA, WorldModel
from jepa_lightning.evaluation import surprise
from jepa_lightning.types import Batch
from jepa_lightning.worlds.layouts import layouts_of
from jepa_lightning.worlds.two_rooms import move, render

EXAMPLE = Path(__file__).parents[2] / "examples" / "surprise_in_two_rooms.py"


class ReadRooms(nn.Module):
    """Where the agent is, to the wall and in the room, and where the door is, as bumps along lines."""

    width, grid_size = 64, (1, 1)

    def forward(self, x: Tensor) -> Tensor:
        dot, walls, at = x[:, 0], x[:, 1, 5:60, 5:60], torch.arange(65.0)
        mass = dot.sum(dim=(1, 2)).clamp(min=1e-6)
        column, row = (dot.sum(dim=axis) @ at / mass for axis in (1, 2))
        wall = walls.mean(dim=1).argmax(dim=1)  # the first of its three columns
        gap = 1 - walls[torch.arange(len(x)), :, wall]
        door = gap @ at[5:60] / gap.sum(dim=1)
        lines = ((column - wall - 6, 8, 24), (column - 32, 32, 10), (row - 32, 32, 20), (door - row, 20, 10))
        return torch.cat([bumps(*line) for line in lines], dim=1)[:, None]


def bumps(values: Tensor, reach: float, number: int) -> Tensor:
    centers = torch.linspace(-reach, reach, number)
    return torch.exp(-(((values[:, None] - centers) * (number - 1) / (2 * reach)).square()) / 2)


def walks(size: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Clips ``[B, C, 5, H, W]`` of straight walks near a wall, frames four steps apart, and actions ``[B, 4, 8]``."""
    walls, doors = layouts_of("train")[generator.integers(len(layouts_of("train")), size=size)].T
    across = walls + generator.choice([-1, 1], size=size) * generator.uniform(3, 12, size=size)
    places = [np.stack([np.clip(across, 5, 59), generator.uniform(6, 58, size=size)], axis=1)]
    angle = generator.uniform(0, 2 * np.pi, size=size)
    step = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    for _ in range(16):
        places.append(move(places[-1], step, walls, doors, np.zeros(size)))
    clips = np.stack([render(place, walls, doors) for place in places[::4]], axis=2)
    actions = np.tile(step, (4, 1)).reshape(4, size, 2).transpose(1, 0, 2)
    return torch.from_numpy(clips).float() / 255, torch.from_numpy(np.tile(actions, (1, 1, 4))).float()


def untrained() -> WorldModel:
    torch.manual_seed(0)
    options: dict[str, Any] = {"num_frames": 5, "rollout_steps": 4, "action_size": 8, "mean": [0, 0], "std": [1, 1]}
    return WorldModel(ReadRooms(), freeze_encoder=True, **options).eval()


@pytest.fixture(scope="module")
def trained() -> WorldModel:
    """A world model that has learned in two seconds what stops an agent."""
    model, generator = untrained(), np.random.default_rng(0)
    optimizer = torch.optim.AdamW(model.predictor.parameters(), lr=1e-2)
    with torch.no_grad():
        known = [(model.encode(clips), actions) for clips, actions in (walks(64, generator) for _ in range(16))]
    for step in range(240):
        states, actions = known[step % len(known)]
        loss = model.distance(model.rollout(states[:, :1], actions), states[:, 1:]).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model


@pytest.fixture(scope="module")
def example() -> ModuleType:
    spec: Any = spec_from_file_location("surprise_in_two_rooms", EXAMPLE)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def right(model: WorldModel, example: ModuleType, kind: str) -> float:
    """Share of pairs whose impossible clip has the higher energy."""
    *clips, actions = example.pairs_of(kind, 64, frame_skip=4)
    energies = [surprise(model, model.clip(each), 1, window=2, actions=torch.from_numpy(actions)) for each in clips]
    true, false = (each.amax(dim=1) for each in energies)
    return float((false > true).float().mean())


@pytest.mark.parametrize("kind", ["teleport", "wall"])
def test_what_cannot_happen_has_a_higher_energy(trained: WorldModel, example: ModuleType, kind: str) -> None:
    assert right(trained, example, kind) > 0.95


def test_walls_are_known_from_training_alone(example: ModuleType) -> None:
    assert right(untrained(), example, "wall") < 0.8


def test_a_window_of_a_rollout_is_the_energy_of_the_module(trained: WorldModel) -> None:
    clips, actions = walks(6, np.random.default_rng(3))
    found = surprise(trained, clips, context_frames=1, actions=actions)
    assert found.shape == (6, 1)
    with torch.no_grad():
        torch.testing.assert_close(found[:, 0], trained.energy(Batch([clips], extras={"actions": actions})))


def test_each_window_is_predicted_step_by_step_from_its_own_past() -> None:
    torch.manual_seed(1)
    model = WorldModel(
        "vit_tiny", "adaln", width=16, depth=1, heads=2, image_size=16, patch_size=8, num_frames=4, history=2,
        rollout_steps=3, predictor_depth=1, predictor_heads=2, predictor_head_width=8, predictor_hidden=16,
        inverse_hidden=8, dropout=0.5,
    ).train()  # fmt: skip
    clips, actions = torch.randn(2, 2, 7, 16, 16), torch.randn(2, 6, 2)
    found = surprise(model, clips, context_frames=2, stride=2, window=4, actions=actions)
    assert model.training
    assert found.shape == (2, 2)
    model.eval()
    with torch.no_grad():
        states = model.encode(clips)
        for window, start in enumerate((0, 2)):
            known, errors = states[:, start : start + 2], []
            for time in (2, 3):
                taken = actions[:, start + time - 2 : start + time]
                following = model.predict(known[:, -2:], taken)
                known = torch.cat([known, following[:, None]], dim=1)
                errors.append((following - states[:, start + time]).square().mean(dim=1))
            torch.testing.assert_close(found[:, window], torch.stack(errors).mean(dim=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "a WorldModel predicts what follows from actions: give actions"),
        ({"actions": torch.zeros(2, 5, 8)}, r"actions of shape \[2, 5, 8\] do not fit clips of 5 frames"),
        ({"actions": torch.zeros(2, 4, 2)}, "actions have 2 numbers, and the world model has action_size=8"),
        ({"actions": torch.zeros(2, 4, 8), "window": 6}, "clips of 5 frames are shorter than a window of 6"),
        ({"actions": torch.zeros(2, 4, 8), "context_frames": 5}, "context_frames=5 must leave some of the 5 frames"),
    ],
)
def test_what_does_not_fit_is_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surprise(untrained(), torch.zeros(2, 2, 5, 65, 65), **{"context_frames": 1, **options})


def test_a_vjepa_takes_no_actions() -> None:
    model = VJEPA("vit_tiny", image_size=32, patch_size=8, num_frames=4, depth=1, predictor_depth=1, min_keep=1)
    for options in ({"actions": torch.zeros(1, 3, 2)}, {"window": 2}):
        with pytest.raises(ValueError, match="takes no actions, and windows of its 4 frames alone"):
            surprise(model, torch.zeros(1, 3, 4, 32, 32), context_frames=2, **options)
