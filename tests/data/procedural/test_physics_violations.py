import random

import pytest

from jepa_lightning.data.procedural.physics_scenes import main_body
from jepa_lightning.data.procedural.physics_violations import (
    VIOLATIONS,
    Violation,
    draw_scene_for,
    hidden_from,
    through_the_middle,
    twin,
)
from jepa_lightning.data.procedural.physics_world import GRAVITY, simulate

HIDDEN = ("vanish", "teleport", "shape")


def labels(draw: random.Random) -> dict[str, int]:
    classes = {"direction": 8, "speed": 3, "gravity": 2, "shape": 8, "color": 8}
    return {name: int(draw.random() * number) for name, number in classes.items()}


@pytest.mark.parametrize("violation", VIOLATIONS)
@pytest.mark.parametrize("num_frames", [12, 16, 40])
def test_laws_are_broken_where_it_is_seen(violation: Violation, num_frames: int) -> None:
    for seed in range(100):
        draw = random.Random(seed)
        asked = labels(draw)
        scene = draw_scene_for(violation, asked, num_frames, draw.random)
        (main,) = scene.bodies
        assert (main.shape, main.color) == (asked["shape"], asked["color"])
        assert (scene.occluder is not None) == (violation in HIDDEN)
        assert (scene.wall is not None) == (violation == "wall")
        assert scene.gravity == (GRAVITY if violation == "upward" else 0)
        first = hidden_from(scene, num_frames)
        assert (first < num_frames) == (violation in HIDDEN)
        if violation in HIDDEN and scene.occluder is not None:
            states, (left, right) = simulate(scene, num_frames).states[0], scene.occluder
            assert left < states[first].x - main.radius < states[first].x + main.radius < right
            assert not left < states[first - 1].x - main.radius < states[first - 1].x + main.radius < right
            ends = [(state.x - main.radius, state.x + main.radius) for state in states[first:]]
            assert any(start < left or right < end for start, end in ends)  # it comes out again


def test_twins_differ_in_one_thing() -> None:
    asked = {"direction": 0, "speed": 1, "gravity": 0, "shape": 7, "color": 2}
    scenes = {kind: draw_scene_for(kind, asked, 16, random.Random(0).random) for kind in VIOLATIONS}
    assert twin(scenes["vanish"], "vanish").bodies == ()
    (main,), (other,) = scenes["shape"].bodies, twin(scenes["shape"], "shape").bodies
    assert (main.shape, other.shape) == (7, 0)
    (main,), (other,) = scenes["teleport"].bodies, twin(scenes["teleport"], "teleport").bodies
    assert abs(main.y - other.y) == pytest.approx(0.37)
    assert other.radius <= other.y <= 1 - other.radius
    assert twin(scenes["wall"], "wall").wall is None
    assert twin(scenes["upward"], "upward") == scenes["upward"]


@pytest.mark.parametrize("num_frames", [8, 16, 32])
def test_a_free_body_through_the_middle_is_near_it_after_half_of_the_frames(num_frames: int) -> None:
    for seed in range(300):
        draw = random.Random(seed)
        main = main_body(labels(draw), through_the_middle(num_frames, draw.random), draw.random)
        for place, speed in ((main.x, main.vx), (main.y, main.vy)):
            # as far as the box lets it begin there
            at_edge = min(place, 1 - place) == pytest.approx(main.radius)
            assert at_edge or abs(place + speed * num_frames / 2 - 0.5) <= 0.15 + 1e-9
