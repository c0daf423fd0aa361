import random
from itertools import pairwise

import torch
from torch import Tensor

from jepa_lightning.data.procedural.physics_world import GRAVITY, SUBSTEPS, Body, Motion, Scene, simulate


def body(x: float, y: float, vx: float = 0.0, vy: float = 0.0, radius: float = 0.1, **walls: float) -> Body:
    return Body(x, y, vx, vy, radius, shape=3, color=0, angle=0.0, **walls)


def path(motion: Motion, index: int = 0) -> Tensor:
    """Places of a body: ``[T, 2]``."""
    return torch.tensor([(state.x, state.y) for state in motion.states[index]], dtype=torch.float64)


def test_a_free_body_bounces_as_in_a_mirror_and_keeps_its_speed() -> None:
    for seed in range(30):
        draw = random.Random(seed).uniform
        start, speed = torch.tensor([draw(0.1, 0.9), draw(0.1, 0.9)]), torch.tensor([draw(-0.06, 0.06) for _ in "xy"])
        start, speed = start.double(), speed.double()
        places = path(simulate(Scene((body(*start.tolist(), *speed.tolist()),)), 60))
        # unfolded, the way is straight: 0.8 wide rooms side by side, every other one mirrored
        straight = (start - 0.1 + speed * torch.arange(60)[:, None]) % 1.6
        exact = 0.1 + torch.minimum(straight, 1.6 - straight)
        bounces = ((start - 0.1 + speed * torch.arange(60)[:, None]) / 0.8).floor().abs()
        assert ((places - exact).abs() <= bounces * speed.abs() / SUBSTEPS + 1e-9).all()
        steps = places.diff(dim=0).abs()
        assert (steps <= speed.abs() + 1e-9).all()
        torch.testing.assert_close(steps.median(0).values, speed.abs())


def test_a_body_falls_as_fast_as_the_law_says() -> None:
    time = torch.arange(16, dtype=torch.float64)
    places = path(simulate(Scene((body(0.3, 0.3, 0.02, -0.01),), GRAVITY), 16))
    torch.testing.assert_close(places[:, 0], 0.3 + 0.02 * time)
    error = places[:, 1] - (0.3 - 0.01 * time + GRAVITY * time**2 / 2)
    assert (error.abs() <= GRAVITY * time / SUBSTEPS / 2 + 1e-12).all()


def test_collisions_keep_momentum_and_energy() -> None:
    for seed in range(60):
        draw = random.Random(seed).uniform
        first = body(0.3, 0.5, draw(0.01, 0.02), draw(-0.005, 0.005), draw(0.05, 0.1), left=-9, right=9)
        second = body(0.6, draw(0.47, 0.53), draw(-0.02, 0.0), 0.0, draw(0.05, 0.1), left=-9, right=9)
        first.x = second.x - first.radius - second.radius - 0.02
        motion = simulate(Scene((first, second)), 10)
        after = torch.stack([path(motion, i).diff(dim=0)[-1] for i in range(2)])
        before = torch.tensor([(b.vx, b.vy) for b in (first, second)], dtype=torch.float64)
        mass = torch.tensor([[first.radius**2], [second.radius**2]], dtype=torch.float64)
        assert motion.collisions == 1
        assert (after - before).abs().max() > 1e-3
        torch.testing.assert_close((mass * after).sum(0), (mass * before).sum(0))
        torch.testing.assert_close((mass * after**2).sum(), (mass * before**2).sum())


def test_the_main_bodys_collisions_are_counted_once_each() -> None:
    # equal bodies in a row swap speeds: 0.04 a frame over 0.4 of way to the wall and back between two meetings
    row = body(0.5, 0.5), body(0.2, 0.5, 0.04)
    assert simulate(Scene(row), 2).collisions == 0
    assert simulate(Scene(row), 5).collisions == 1
    meetings = [simulate(Scene(row), frames).collisions for frames in range(60)]
    assert all(b - a in (0, 1) for a, b in pairwise(meetings))
    # free way of a point between two walls: 0.8 less the other's 0.2
    assert meetings[-1] == 1 + int((59 * 0.04 - 0.1) / 0.6)
    # others may meet as often as they like
    assert simulate(Scene((body(0.5, 0.15), *row[1:], body(0.6, 0.5))), 40).collisions == 0


def test_bodies_fall_upward_from_the_frame_that_is_named() -> None:
    scene, when, time = Scene((body(0.2, 0.3, 0.02), body(0.8, 0.8)), GRAVITY), 6, torch.arange(14, dtype=torch.float64)
    whole, broken = simulate(scene, 14), simulate(scene, 14, upward_from=when)
    late = (time - when).clamp(min=0)
    # twice the gravity the other way, in substeps
    expected = -1.5 * GRAVITY * (late**2 + late / SUBSTEPS)
    torch.testing.assert_close(path(broken)[:, 1] - path(whole)[:, 1], expected)
    assert torch.equal(path(broken)[:, 0], path(whole)[:, 0])


def test_a_scene_without_bodies_stays_empty() -> None:
    assert simulate(Scene((), occluder=(0.4, 0.6)), 5) == Motion([], 0)
