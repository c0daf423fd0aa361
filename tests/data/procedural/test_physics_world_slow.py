import random
from itertools import combinations

import pytest
import torch
from torch import Tensor

from jepa_lightning.data.procedural import physics_world
from jepa_lightning.data.procedural.physics_world import GRAVITY, SUBSTEPS, Body, Motion, Scene, simulate


def body(x: float, y: float, vx: float = 0.0, vy: float = 0.0, radius: float = 0.1, **walls: float) -> Body:
    return Body(x, y, vx, vy, radius, shape=3, color=0, angle=0.0, **walls)


def path(motion: Motion, index: int = 0) -> Tensor:
    """Places of a body: ``[T, 2]``."""
    return torch.tensor([(state.x, state.y) for state in motion.states[index]], dtype=torch.float64)


def crowd(seed: int, gravity: float) -> Scene:
    """Three bodies on both sides of a wall, apart from each other."""
    draw = random.Random(seed).uniform
    bodies = [
        body(draw(0.1, 0.4), y, draw(-0.05, 0.05), draw(-0.05, 0.05), draw(0.05, 0.1), right=0.5) for y in (0.2, 0.5)
    ]
    return Scene((*bodies, body(0.8, 0.8, draw(-0.05, 0.05), 0.02, left=0.55)), gravity, wall=(0.5, 0.55))


def slowly(scene: Scene, num_frames: int, substeps: int = 400) -> tuple[Tensor, int]:
    """Places ``[n, T, 2]`` and the main body's collisions; in complex numbers, with steps of second order."""
    bodies, collisions = scene.bodies, 0
    x, v = [complex(b.x, b.y) for b in bodies], [complex(b.vx, b.vy) for b in bodies]
    places: list[list[complex]] = []
    for step in range(num_frames * substeps):
        if step % substeps == 0:
            places.append(list(x))
        for i, b in enumerate(bodies):
            x[i] += (v[i] + 0.5j * scene.gravity / substeps) / substeps
            v[i] += 1j * scene.gravity / substeps
            if (v[i].real < 0 and x[i].real < b.left + b.radius) or (v[i].real > 0 and x[i].real > b.right - b.radius):
                v[i] = -v[i].conjugate()
            if (v[i].imag < 0 and x[i].imag < b.radius) or (v[i].imag > 0 and x[i].imag > 1 - b.radius):
                v[i] = v[i].conjugate()
        for i, j in combinations(range(len(bodies)), 2):
            turn = (x[j] - x[i]) / abs(x[j] - x[i])
            if abs(x[j] - x[i]) < bodies[i].radius + bodies[j].radius and ((v[j] - v[i]) / turn).real < 0:
                m, n = bodies[i].radius ** 2, bodies[j].radius ** 2
                center = (m * v[i] + n * v[j]) / (m + n)
                # what goes along the line between them turns around, as the center of mass sees it
                v[i], v[j] = (center - ((w - center) / turn).conjugate() * turn for w in (v[i], v[j]))
                collisions += i == 0
    return torch.view_as_real(torch.tensor(places, dtype=torch.complex128)).transpose(0, 1), collisions


def test_scenes_come_close_to_a_slow_simulation_and_closer_with_more_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    scenes = [crowd(seed, gravity) for seed in range(8) for gravity in (0.0, GRAVITY)]
    slow = [slowly(scene, 16) for scene in scenes]
    errors, counts = [], []
    for substeps in (SUBSTEPS, 16 * SUBSTEPS):
        monkeypatch.setattr(physics_world, "SUBSTEPS", substeps)
        motions = [simulate(scene, 16) for scene in scenes]
        paths = [torch.stack([path(motion, i) for i in range(3)]) for motion in motions]
        errors.append(torch.stack([(a - b).abs().max() for a, (b, _) in zip(paths, slow, strict=True)]).median())
        counts.append([motion.collisions for motion in motions])
    assert errors[0] < 0.01
    assert errors[1] < errors[0] / 8
    assert counts[1] == [collisions for _, collisions in slow]


@pytest.mark.parametrize("gravity", [0.0, GRAVITY])
def test_nobody_leaves_the_box_or_crosses_the_wall(gravity: float) -> None:
    for seed in range(20):
        scene = crowd(seed, gravity)
        motion = simulate(scene, 100)
        for i, one in enumerate(scene.bodies):
            x, y = path(motion, i).unbind(1)
            assert ((x >= one.left + one.radius - 1e-9) & (x <= one.right - one.radius + 1e-9)).all()
            assert ((y >= one.radius - 1e-9) & (y <= 1 - one.radius + 1e-9)).all()


def test_simulating_leaves_the_scene_alone() -> None:
    scene = crowd(1, GRAVITY)
    for upward in (None, 5, None):
        assert simulate(scene, 20, upward) == simulate(crowd(1, GRAVITY), 20, upward)
