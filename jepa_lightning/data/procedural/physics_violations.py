"""Scenes of the small world in which a law can be broken where it is seen."""

from dataclasses import replace
from typing import Literal

from jepa_lightning.data.procedural.drawing import SHAPES, UniformDraw
from jepa_lightning.data.procedural.physics_scenes import (
    MAIN_RADIUS,
    OCCLUDER,
    WALL,
    Placing,
    bar_at,
    inside,
    keep_off,
    main_body,
)
from jepa_lightning.data.procedural.physics_world import GRAVITY, Body, Scene, simulate

Violation = Literal["vanish", "teleport", "shape", "wall", "upward"]
VIOLATIONS: tuple[Violation, ...] = ("vanish", "teleport", "shape", "wall", "upward")


def draw_scene_for(violation: Violation, labels: dict[str, int], num_frames: int, draw: UniformDraw) -> Scene:
    """A scene with one body, in which the law can be broken where it is seen.

    Args:
        violation: the law.
        labels: shape and color of the body, its speed and direction, the last two as far as the law leaves them free.
        num_frames: of the clip.
        draw: numbers in [0, 1).
    """
    placing = through_the_middle(num_frames, draw)
    if violation == "upward":
        main = main_body(labels | {"speed": max(1, labels["speed"])}, placing, draw)
        main.y, main.vy = 0.2 + 0.1 * draw(), 0.0
        return Scene((main,), GRAVITY)
    # level, and past the middle before the end; in front of a wall there is less of the way left
    hides = violation != "wall"
    main = main_body(labels | {"direction": 4 * int(draw() * 2), "speed": 2 if hides else 1}, placing, draw)
    middle = bar_at(0.5, OCCLUDER if hides else WALL)
    reach = 0.15 + 0.05 * draw() if hides else main.radius + abs(main.vx) * num_frames * (0.3 + 0.15 * draw())
    main.x = inside(middle[0] - reach if main.vx > 0 else middle[1] + reach, main.radius)
    if hides:
        return Scene((main,), occluder=middle)
    keep_off(main, middle)
    return Scene((main,), wall=middle)


def through_the_middle(num_frames: int, draw: UniformDraw) -> Placing:
    """So that a free body is in the middle of the image, more or less, after half of the frames."""
    return lambda velocity, _: inside(0.5 - velocity * num_frames / 2 + 0.3 * (draw() - 0.5), MAIN_RADIUS)


def twin(scene: Scene, violation: Violation) -> Scene:
    """The scene that another's breach of the law would have come from."""
    (main,) = scene.bodies
    if violation == "vanish":
        return replace(scene, bodies=())
    if violation == "wall":
        return replace(scene, bodies=(replace(main, left=0.0, right=1.0),), wall=None)
    if violation == "upward":
        return scene
    if violation == "shape":
        return replace(scene, bodies=(replace(main, shape=(main.shape + 1) % len(SHAPES)),))
    # half the way up or down that it has, and back in at the other end
    room = 1 - 2 * main.radius
    return replace(scene, bodies=(replace(main, y=main.radius + (main.y - main.radius + room / 2) % room),))


def hidden_from(scene: Scene, num_frames: int) -> int:
    """The first frame in which the body of a scene is all behind the bar; num_frames if there is none."""
    (states,) = simulate(scene, num_frames).states
    return next((frame for frame, state in enumerate(states) if _hides(scene, scene.bodies[0], state.x)), num_frames)


def _hides(scene: Scene, body: Body, x: float) -> bool:
    return scene.occluder is not None and scene.occluder[0] < x - body.radius and x + body.radius < scene.occluder[1]
