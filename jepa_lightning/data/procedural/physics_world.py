# T frames
"""A small world that obeys its laws: bodies move, bounce, fall, collide and pass behind things.

Lengths are in sides of the image, y points down, and times are in frames. Only sums, products and square roots act on
what is drawn, so a scene moves alike on every machine.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

DIRECTIONS = ("right", "down right", "down", "down left", "left", "up left", "up", "up right")
SPEEDS = (0.018, 0.034, 0.05)  # per frame: from a quarter to four fifths of the side in 16 frames
GRAVITY = 0.004
SUBSTEPS = 8  # a frame, so that bodies meet where they touch
Bar = tuple[float, float]  # left and right edge of something as high as the image


@dataclass
class Body:
    """Something that moves: a disc to the laws, whatever its shape looks like."""

    x: float
    y: float
    vx: float
    vy: float
    radius: float
    shape: int
    color: int
    angle: float
    left: float = 0.0  # walls on both sides
    right: float = 1.0


@dataclass(frozen=True)
class Scene:
    """How a clip begins.

    Attributes:
        bodies: the main one first.
        gravity: acceleration downwards.
        occluder: a bar in front of all bodies.
        wall: a bar that they bounce off.
    """

    bodies: tuple[Body, ...]
    gravity: float = 0.0
    occluder: Bar | None = None
    wall: Bar | None = None


class State(NamedTuple):
    """Where a body is in one frame."""

    x: float
    y: float


class Motion(NamedTuple):
    """What happens in a scene.

    Attributes:
        states: for each body, its state in each of T frames.
        collisions: how often the main body met another one.
    """

    states: list[list[State]]
    collisions: int


def simulate(scene: Scene, num_frames: int, upward_from: int | None = None) -> Motion:
    """Lets a scene run.

    Args:
        scene: how it begins.
        num_frames: T.
        upward_from: frame in which bodies begin to fall upward, twice as fast; None leaves the law alone.
    """
    bodies = [replace(body) for body in scene.bodies]
    gravity = scene.gravity
    states: list[list[State]] = [[] for _ in bodies]
    collisions = 0
    touching: set[int] = set()
    for frame in range(num_frames):
        if frame == upward_from:
            gravity = -2 * gravity
        for body, history in zip(bodies, states, strict=True):
            history.append(State(body.x, body.y))
        for _ in range(SUBSTEPS):
            for body in bodies:
                _move(body, gravity)
            met = _collide(bodies)
            collisions += len(met - touching)
            touching = met
    return Motion(states, collisions)


def _move(body: Body, gravity: float) -> None:
    step = 1 / SUBSTEPS
    body.vy += gravity * step
    body.x, body.y = body.x + body.vx * step, body.y + body.vy * step
    if body.x < body.left + body.radius:
        body.x, body.vx = body.left + body.radius, abs(body.vx)
    if body.x > body.right - body.radius:
        body.x, body.vx = body.right - body.radius, -abs(body.vx)
    if body.y < body.radius:
        body.y, body.vy = body.radius, abs(body.vy)
    if body.y > 1 - body.radius:
        body.y, body.vy = 1 - body.radius, -abs(body.vy)


def _collide(bodies: list[Body]) -> set[int]:
    """Elastic collisions of discs whose mass is their area; the bodies that the main one touches."""
    touched: set[int] = set()
    for i, a in enumerate(bodies):
        for j, b in enumerate(bodies[i + 1 :], start=i + 1):
            dx, dy = b.x - a.x, b.y - a.y
            distance = math.sqrt(dx * dx + dy * dy)
            if distance >= a.radius + b.radius or distance == 0:
                continue
            if i == 0:
                touched.add(j)
            nx, ny = dx / distance, dy / distance
            approach = (a.vx - b.vx) * nx + (a.vy - b.vy) * ny
            if approach <= 0:
                continue  # already on their way apart
            mass_a, mass_b = a.radius**2, b.radius**2
            push = 2 * approach / (mass_a + mass_b)
            a.vx, a.vy = a.vx - push * mass_b * nx, a.vy - push * mass_b * ny
            b.vx, b.vy = b.vx + push * mass_a * nx, b.vy + push * mass_a * ny
    return touched
