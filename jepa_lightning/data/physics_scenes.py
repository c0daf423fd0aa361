"""Scenes of the small world: for training, and such that one of its laws can be broken."""

import math

from jepa_lightning.data.drawing import SHAPES
from jepa_lightning.data.physics_world import DIRECTIONS, GRAVITY, SPEEDS, Body, Draw, Scene, Violation

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
    occluder = _between(bar, OCCLUDER) if kind < 0.35 else None
    wall = _between(bar, WALL) if 0.35 <= kind < 0.55 else None
    main = _main(labels, num_frames, draw)
    others = [_other(draw) for _ in range(int(draw() * 3))]
    bodies: list[Body] = []
    for body in (main, *others):
        _keep_off(body, wall)
        if all(math.hypot(body.x - b.x, body.y - b.y) > body.radius + b.radius for b in bodies):
            bodies.append(body)  # one that has no room is left out
    return Scene(tuple(bodies), GRAVITY * labels["gravity"], occluder, wall)


def draw_scene_for(violation: Violation, labels: dict[str, int], num_frames: int, draw: Draw) -> Scene:
    """A scene with one body, in which the law can be broken where it is seen.

    Args:
        violation: the law.
        labels: shape and colour of the body, its speed and direction, the last two as far as the law leaves them free.
        num_frames: of the clip.
        draw: numbers in [0, 1).
    """
    if violation != "upward":
        # level, and past the middle before the end; in front of a wall there is less of the way left
        hides = violation != "wall"
        main = _main(labels | {"direction": 4 * int(draw() * 2), "speed": 2 if hides else 1}, num_frames, draw)
        middle = _between(0.5, OCCLUDER if hides else WALL)
        reach = 0.15 + 0.05 * draw() if hides else main.radius + abs(main.vx) * num_frames * (0.3 + 0.15 * draw())
        main.x = _inside(middle[0] - reach if main.vx > 0 else middle[1] + reach, main.radius)
        if hides:
            return Scene((main,), occluder=middle)
        _keep_off(main, middle)
        return Scene((main,), wall=middle)
    main = _main(labels | {"speed": max(1, labels["speed"])}, num_frames, draw)
    main.y, main.vy = 0.2 + 0.1 * draw(), 0.0
    return Scene((main,), GRAVITY)


def _main(labels: dict[str, int], num_frames: int, draw: Draw) -> Body:
    angle = (labels["direction"] + 0.6 * (draw() - 0.5)) * 2 * math.pi / len(DIRECTIONS)
    speed = SPEEDS[labels["speed"]] * (0.9 + 0.2 * draw())
    vx, vy = speed * math.cos(angle), speed * math.sin(angle)
    x, y = (_inside(0.5 - v * num_frames / 2 + 0.3 * (draw() - 0.5), MAIN_RADIUS) for v in (vx, vy))
    return Body(x, y, vx, vy, MAIN_RADIUS, labels["shape"], labels["colour"], _tilt(draw))


def _other(draw: Draw) -> Body:
    x, y = (_inside(draw(), OTHER_RADIUS) for _ in range(2))
    vx, vy = (0.03 * (draw() - 0.5) for _ in range(2))
    shape, colour = int(draw() * len(SHAPES)), int(draw() * COLOURS)
    return Body(x, y, vx, vy, OTHER_RADIUS, shape, colour, _tilt(draw))


def _keep_off(body: Body, wall: tuple[float, float] | None) -> None:
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


def _between(middle: float, width: float) -> tuple[float, float]:
    return middle - width / 2, middle + width / 2


def _inside(place: float, radius: float) -> float:
    return min(max(place, radius), 1 - radius)


def _tilt(draw: Draw) -> float:
    return math.pi / 7 * (draw() - 0.5)
