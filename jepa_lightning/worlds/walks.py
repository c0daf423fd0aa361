# N walks, T frames
"""Walks through two rooms to learn from, each of which follows from a seed and its index alone."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jepa_lightning.worlds.collision import BORDER, HALF_DOOR, HALF_WALL, MARGIN, collision_time
from jepa_lightning.worlds.layouts import NAMES, Layouts, layouts_of
from jepa_lightning.worlds.policies import TURN, draw_lengths
from jepa_lightning.worlds.two_rooms import MAX_STEP, Floats, Ints, is_free, move

THROUGH_DOOR = 0.35  # share of walks that are made to pass the door
DOOR_SPREAD = 1.4  # standard deviation of where they pass it
LEG = 32  # steps that a straight walk keeps its heading and speed
BLOCK = 1024  # walks that are drawn from one generator


class Walks(NamedTuple):
    """Walks in rooms of their own.

    Attributes:
        positions: float32 ``[N, T, 2]``.
        actions: float32 ``[N, T - 1, 2]``; action t is taken at position t and leads to position t + 1.
        walls: column of each wall's middle ``[N]``.
        doors: row of each door's middle ``[N]``.
    """

    positions: NDArray[np.float32]
    actions: NDArray[np.float32]
    walls: Ints
    doors: Ints


class _Draw(NamedTuple):
    """The random numbers of one walk."""

    start: Floats
    actions: Floats  # [T - 1, 2]
    noise: Floats  # [T - 1]
    before: int  # steps that lead to the start, where it is in the door
    layout: NDArray[np.int64]


def walk(seed: int, first: int, number: int, frames: int, layouts: Layouts, straight: float = 0.0) -> Walks:
    """Makes walks. 35 % of them pass the door, at some time; the others start anywhere.

    Straight ones are not of the paper. They take steps of all lengths and run against walls for long, as plans do, and
    turning ones hardly ever.

    Args:
        seed: another one gives other walks.
        first: index of the first walk.
        number: N.
        frames: T.
        layouts: which of them there are, as in ``layouts_of``.
        straight: share of walks that keep heading and speed for 32 steps at a time.
    """
    blocks = range(first // BLOCK, (first + number - 1) // BLOCK + 1)
    generators = [np.random.default_rng([seed, NAMES.index(layouts), block]) for block in blocks]
    found = [_block(generator, frames, layouts, straight) for generator in generators]
    skipped = first - BLOCK * blocks.start
    return Walks(*(np.concatenate(column)[skipped : skipped + number] for column in zip(*found, strict=True)))


def _block(generator: np.random.Generator, frames: int, layouts: Layouts, straight: float) -> Walks:
    known, steps = layouts_of(layouts), frames - 1
    walls, doors = known[generator.integers(len(known), size=BLOCK)].T
    passes = generator.random(BLOCK) < THROUGH_DOOR
    before = np.where(passes, generator.integers(max(1, steps), size=BLOCK), 0)
    start = np.where(passes[:, None], _in_door(generator, walls, doors), _anywhere(generator, walls, doors))
    first = np.where(passes, _sideways(generator), generator.uniform(-np.pi, np.pi, size=BLOCK))
    noise = generator.standard_normal((BLOCK, steps))
    lengths = draw_lengths(generator, BLOCK * steps).reshape(BLOCK, steps)
    turned = np.cumsum(generator.vonmises(0.0, TURN, size=(BLOCK, steps)), axis=1)
    if straight:
        rows = generator.random(BLOCK) < straight
        turned[rows], lengths[rows] = (each[rows] for each in _legs(generator, steps))
    # in the door they have the first heading; as turns are symmetric, those before it are drawn as those after it
    headings = first[:, None] + turned - np.take_along_axis(turned, before[:, None], axis=1) if steps else turned
    actions = lengths[..., None] * np.stack([np.cos(headings), np.sin(headings)], axis=-1)
    position, actions = _led_back(start, actions, before, walls, doors)
    # what is stored is what was done, so that who repeats the actions comes to the same places
    actions = actions.astype(np.float32)
    positions = [position]
    for t in range(steps):
        positions.append(move(positions[-1], actions[:, t].astype(np.float64), walls, doors, noise[:, t]))
    return Walks(np.stack(positions, axis=1).astype(np.float32), actions, walls, doors)


def _legs(generator: np.random.Generator, steps: int) -> tuple[Floats, Floats]:
    """Headings, of which the first is 0, and lengths of steps that stay the same for a time ``[N, T - 1]``."""
    legs = -(-steps // LEG)
    headings = generator.uniform(-np.pi, np.pi, size=(BLOCK, legs))
    lengths = generator.uniform(0.0, MAX_STEP, size=(BLOCK, legs))
    headings[:, :1] = 0.0
    leg = np.arange(steps) // LEG
    return headings[:, leg], lengths[:, leg]


def _anywhere(generator: np.random.Generator, walls: Ints, doors: Ints) -> Floats:
    """Places in the rooms, evenly over them ``[N, 2]``."""
    low, high = BORDER[0] + MARGIN, BORDER[1] - MARGIN
    reach = HALF_WALL + MARGIN
    x = generator.uniform(low, high - 2 * reach, size=len(walls))
    x += np.where(x > walls - reach, 2 * reach, 0)
    return np.stack([x, generator.uniform(low, high, size=len(walls))], axis=1)


def _in_door(generator: np.random.Generator, walls: Ints, doors: Ints) -> Floats:
    """Places within the wall's thickness and the door ``[N, 2]``."""
    reach = HALF_DOOR - MARGIN
    offsets = generator.normal(0.0, DOOR_SPREAD, size=len(walls))
    while (out := np.abs(offsets) > reach).any():
        offsets[out] = generator.normal(0.0, DOOR_SPREAD, size=out.sum())
    return np.stack([walls + generator.uniform(-HALF_WALL, HALF_WALL, size=len(walls)), doors + offsets], axis=1)


def _sideways(generator: np.random.Generator) -> Floats:
    """Headings within 45 degrees of left or right ``[N]``."""
    return generator.uniform(-np.pi / 4, np.pi / 4, size=BLOCK) + np.pi * generator.integers(2, size=BLOCK)


def _led_back(start: Floats, actions: Floats, before: Ints, walls: Ints, doors: Ints) -> tuple[Floats, Floats]:
    """Starts of walks that come to the door after some steps, as far as these can be walked backwards freely.

    Steps at the beginning that would have met a wall are moved to the end.
    """
    position, steps = start.copy(), np.zeros_like(before)
    for back in range(int(before.max(initial=0))):
        rows = np.flatnonzero((before > back) & (steps == back))
        step = -actions[rows, before[rows] - 1 - back]
        place = position[rows] + step
        free = collision_time(position[rows], step, walls[rows], doors[rows]) > 1
        free &= is_free(place, walls[rows], doors[rows])
        position[rows[free]], steps[rows[free]] = place[free], back + 1
    if not actions.shape[1]:
        return position, actions
    order = (np.arange(actions.shape[1]) + (before - steps)[:, None]) % actions.shape[1]
    return position, np.take_along_axis(actions, order[..., None], axis=1)
