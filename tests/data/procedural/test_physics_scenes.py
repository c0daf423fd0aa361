import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import chi2_contingency, chisquare

from jepa_lightning.data.procedural.physics_scenes import CLEAR, draw_scene
from jepa_lightning.data.procedural.physics_world import GRAVITY, SPEEDS, Scene, simulate


def labels(draw: random.Random) -> dict[str, int]:
    classes = {"direction": 8, "speed": 3, "gravity": 2, "shape": 8, "color": 8}
    return {name: int(draw.random() * number) for name, number in classes.items()}


def drawn(count: int) -> list[tuple[Scene, dict[str, int]]]:
    scenes = []
    for seed in range(count):
        draw = random.Random(seed)
        asked = labels(draw)
        scenes.append((draw_scene(asked, draw.random), asked))
    return scenes


@pytest.fixture(scope="module")
def scenes() -> list[tuple[Scene, dict[str, int]]]:
    return drawn(2000)


def test_the_main_body_is_what_the_labels_say(scenes: list[tuple[Scene, dict[str, int]]]) -> None:
    for scene, asked in scenes:
        main = scene.bodies[0]
        assert (main.shape, main.color) == (asked["shape"], asked["color"])
        assert 0.9 <= math.hypot(main.vx, main.vy) / SPEEDS[asked["speed"]] < 1.1
        # y points down; a third of a sector keeps directions apart
        sectors = math.atan2(main.vy, main.vx) / (math.pi / 4) - asked["direction"]
        assert abs((sectors + 4) % 8 - 4) <= 0.3 + 1e-9
        assert scene.gravity == GRAVITY * asked["gravity"]
    assert 1.1 * SPEEDS[0] < 0.9 * SPEEDS[1]
    assert 1.1 * SPEEDS[1] < 0.9 * SPEEDS[2]


def test_bodies_begin_apart_inside_the_box_and_on_one_side_of_the_wall(
    scenes: list[tuple[Scene, dict[str, int]]],
) -> None:
    for scene, _ in scenes:
        for i, one in enumerate(scene.bodies):
            assert one.left + one.radius - 1e-9 <= one.x <= one.right - one.radius + 1e-9
            assert one.radius <= one.y <= 1 - one.radius
            assert (one.left, one.right) in (
                [(0, 1)] if scene.wall is None else [(0, scene.wall[0]), (scene.wall[1], 1)]
            )
            assert i == 0 or one.radius < scene.bodies[0].radius
            for other in scene.bodies[:i]:
                assert math.hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius


def test_scenes_have_an_occluder_or_a_wall_or_neither_and_up_to_two_other_bodies(
    scenes: list[tuple[Scene, dict[str, int]]],
) -> None:
    assert not any(scene.occluder and scene.wall for scene, _ in scenes)
    assert 0.3 < sum(scene.occluder is not None for scene, _ in scenes) / len(scenes) < 0.4
    assert 0.16 < sum(scene.wall is not None for scene, _ in scenes) / len(scenes) < 0.24
    numbers = [sum(len(scene.bodies) == n for scene, _ in scenes) / len(scenes) for n in (1, 2, 3)]
    assert sum(numbers) == pytest.approx(1)
    assert min(numbers) > 0.15
    for bar in (bar for scene, _ in scenes for bar in (scene.occluder, scene.wall) if bar):
        assert 0.2 < bar[0] < bar[1] < 0.8


def test_the_main_body_fits_behind_an_occluder(scenes: list[tuple[Scene, dict[str, int]]]) -> None:
    occluders = [(scene.occluder, scene.bodies[0].radius) for scene, _ in scenes if scene.occluder]
    # at the highest speed one frame at least shows it hidden
    assert all(bar[1] - bar[0] - 2 * radius > 1.1 * SPEEDS[2] for bar, radius in occluders)


def test_where_the_main_body_begins_does_not_tell_its_direction(scenes: list[tuple[Scene, dict[str, int]]]) -> None:
    counts = np.zeros((8, 9))
    for scene, asked in scenes:
        if scene.wall is None:  # which bodies begin some way off
            main = scene.bodies[0]
            margin = main.radius + CLEAR * math.hypot(main.vx, main.vy)
            row, column = (int(3 * (place - margin) / (1 - 2 * margin)) for place in (main.y, main.x))
            counts[asked["direction"], 3 * row + column] += 1
    assert chi2_contingency(counts).pvalue > 0.01
    assert chisquare(counts.sum(axis=0)).pvalue > 0.01


def test_the_main_body_is_seen_to_move_before_it_meets_a_side(scenes: list[tuple[Scene, dict[str, int]]]) -> None:
    for scene, _ in scenes:
        main = scene.bodies[0]
        free = Scene((replace(main),))
        (states,) = simulate(free, CLEAR + 1).states
        assert states[CLEAR].x - main.x == pytest.approx(CLEAR * main.vx)
        assert states[CLEAR].y - main.y == pytest.approx(CLEAR * main.vy)
