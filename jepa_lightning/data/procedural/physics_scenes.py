"""Scenes of the small world."""

import math
from collections.abc import Callable

from jepa_lightning.data.procedural.drawing import SHAPES, UniformDraw
from jepa_lightning.data.procedural.physics_world import DIRECTIONS, GRAVITY, SPEEDS, Body, Scene
from jepa_lightning.data.procedural.shapes import COLORS

Placing = Callable[[float, float], float]  # where a body begins along an axis, by velocity along it and speed
MAIN_RADIUS, OTHER_RADIUS = 0.13, 0.08
ROOM = 4  # frames in which a body goes where it started to, if the wall leaves so much
CLEAR = 2  # frames in which a body reaches no side of the image, whichever way it goes
OCCLUDER, WALL = 0.34, 0.05  # widths; the main body fits behind an occluder


def draw_scene(labels: dict[str, int], draw: UniformDraw) -> Scene:
    """A scene in which nothing is against the laws.

    Args:
        labels: direction, speed, gravity, shape and color of the main body.
        draw: numbers in [0, 1).
    """
    bar, kind = _bar(draw), draw()
    occluder = bar_at(bar, OCCLUDER) if kind < 0.35 else None
    wall = bar_at(bar, WALL) if 0.35 <= kind < 0.55 else None
    main = main_body(labels, anywhere(draw), draw)
    others = [_other(draw) for _ in range(int(draw() * 3))]
    bodies: list[Body] = []
    for body in (main, *others):
        keep_off(body, wall)
        if all(math.hypot(body.x - b.x, body.y - b.y) > body.radius + b.radius for b in bodies):
            bodies.append(body)  # one that has no room is left out
    return Scene(tuple(bodies), GRAVITY * labels["gravity"], occluder, wall)


def main_body(labels: dict[str, int], placing: Placing, draw: UniformDraw) -> Body:
    """The large body, with the direction, speed, shape and color of its labels."""
    angle = (labels["direction"] + 0.6 * (draw() - 0.5)) * 2 * math.pi / len(DIRECTIONS)
    speed = SPEEDS[labels["speed"]] * (0.9 + 0.2 * draw())
    vx, vy = speed * math.cos(angle), speed * math.sin(angle)
    x, y = placing(vx, speed), placing(vy, speed)
    return Body(x, y, vx, vy, MAIN_RADIUS, labels["shape"], labels["color"], _tilt(draw))


def anywhere(draw: UniformDraw) -> Placing:
    """Whatever the direction, or the first frame alone would tell it, and no motion need be seen.

    A body is as far from all sides as it gets in `CLEAR` frames, so that it is seen to move before it bounces.
    """

    def place(velocity: float, speed: float) -> float:
        margin = MAIN_RADIUS + CLEAR * speed
        return margin + (1 - 2 * margin) * draw()

    return place


def _other(draw: UniformDraw) -> Body:
    x, y = (inside(draw(), OTHER_RADIUS) for _ in range(2))
    vx, vy = (0.03 * (draw() - 0.5) for _ in range(2))
    shape, color = int(draw() * len(SHAPES)), int(draw() * len(COLORS))
    return Body(x, y, vx, vy, OTHER_RADIUS, shape, color, _tilt(draw))


def keep_off(body: Body, wall: tuple[float, float] | None) -> None:
    """Puts a body on one side of a wall, which it stays on, with some way to go before it meets the wall."""
    if wall is None:
        return
    room = body.radius + ROOM * abs(body.vx)
    if body.x < (wall[0] + wall[1]) / 2:
        body.right, body.x = wall[0], max(body.radius, min(body.x, wall[0] - (room if body.vx > 0 else body.radius)))
    else:
        body.left = wall[1]
        body.x = min(1 - body.radius, max(body.x, wall[1] + (room if body.vx < 0 else body.radius)))


def _bar(draw: UniformDraw) -> float:
    return 0.4 + 0.2 * draw()


def bar_at(middle: float, width: float) -> tuple[float, float]:
    """A bar of this width."""
    return middle - width / 2, middle + width / 2


def inside(place: float, radius: float) -> float:
    """The nearest place at which a body is all in the image."""
    return min(max(place, radius), 1 - radius)


def _tilt(draw: UniformDraw) -> float:
    return math.pi / 7 * (draw() - 0.5)
