"""Scenes of the small world."""

import math

from jepa_lightning.data.drawing import SHAPES
from jepa_lightning.data.physics_world import DIRECTIONS, GRAVITY, SPEEDS, Body, Draw, Scene

COLOURS = 8
MAIN_RADIUS, OTHER_RADIUS = 0.13, 0.08
ROOM = 4  # frames in which a body goes where it started to, if the wall leaves so much
OCCLUDER, WALL = 0.34, 0.05  # widths; the main body fits behind an occluder


def draw_scene(labels: dict[str, int], num_frames: int, draw: Draw) -> Scene:
    """A scene in which nothing is against the laws.

    Args:
        labels: direction, speed, gravity, shape and colour of the main body.
        num_frames: the main body is in the middle of its way, were it free, after half of them.
        draw: numbers in [0, 1).
    """
    bar, kind = _bar(draw), draw()
    occluder = between(bar, OCCLUDER) if kind < 0.35 else None
    wall = between(bar, WALL) if 0.35 <= kind < 0.55 else None
    main = main_body(labels, num_frames, draw)
    others = [_other(draw) for _ in range(int(draw() * 3))]
    bodies: list[Body] = []
    for body in (main, *others):
        keep_off(body, wall)
        if all(math.hypot(body.x - b.x, body.y - b.y) > body.radius + b.radius for b in bodies):
            bodies.append(body)  # one that has no room is left out
    return Scene(tuple(bodies), GRAVITY * labels["gravity"], occluder, wall)


def main_body(labels: dict[str, int], num_frames: int, draw: Draw) -> Body:
    """The large body, in the middle of its way after half of the frames, were it free."""
    angle = (labels["direction"] + 0.6 * (draw() - 0.5)) * 2 * math.pi / len(DIRECTIONS)
    speed = SPEEDS[labels["speed"]] * (0.9 + 0.2 * draw())
    vx, vy = speed * math.cos(angle), speed * math.sin(angle)
    x, y = (inside(0.5 - v * num_frames / 2 + 0.3 * (draw() - 0.5), MAIN_RADIUS) for v in (vx, vy))
    return Body(x, y, vx, vy, MAIN_RADIUS, labels["shape"], labels["colour"], _tilt(draw))


def _other(draw: Draw) -> Body:
    x, y = (inside(draw(), OTHER_RADIUS) for _ in range(2))
    vx, vy = (0.03 * (draw() - 0.5) for _ in range(2))
    shape, colour = int(draw() * len(SHAPES)), int(draw() * COLOURS)
    return Body(x, y, vx, vy, OTHER_RADIUS, shape, colour, _tilt(draw))


def keep_off(body: Body, wall: tuple[float, float] | None) -> None:
    """Puts a body on one side of a wall, for good, and with some way to go before it meets it."""
    if wall is None:
        return
    room = body.radius + ROOM * abs(body.vx)
    if body.x < (wall[0] + wall[1]) / 2:
        body.right, body.x = wall[0], max(body.radius, min(body.x, wall[0] - (room if body.vx > 0 else body.radius)))
    else:
        body.left = wall[1]
        body.x = min(1 - body.radius, max(body.x, wall[1] + (room if body.vx < 0 else body.radius)))


def _bar(draw: Draw) -> float:
    return 0.4 + 0.2 * draw()


def between(middle: float, width: float) -> tuple[float, float]:
    """A bar of this width."""
    return middle - width / 2, middle + width / 2


def inside(place: float, radius: float) -> float:
    """The nearest place at which a body is all in the image."""
    return min(max(place, radius), 1 - radius)


def _tilt(draw: Draw) -> float:
    return math.pi / 7 * (draw() - 0.5)
