# C channels, T frames, H W height and width
"""How a clip of the small world is painted."""

from collections.abc import Sequence

import torch
from torch import Tensor

from jepa_lightning.data.procedural.drawing import SHAPES, Place, UniformDraw, blend, coordinates, coverage
from jepa_lightning.data.procedural.physics_world import Bar, Body, Motion, Scene, State
from jepa_lightning.data.procedural.shapes import bright
from jepa_lightning.data.procedural.value_noise import value_noise

SHAPE_FUNCTIONS = list(SHAPES.values())
OCCLUDER_TONE, WALL_TONE = (0.45, 0.45, 0.5), (0.85, 0.85, 0.85)
CELLS, CONTRAST = 6, 0.5  # of a textured background: cells along a side, and the brightest tone


def render(
    scene: Scene, motion: Motion, num_frames: int, size: int, draw: UniformDraw, textured: bool = False
) -> Tensor:
    """Draws the frames of a clip.

    Args:
        scene: for bodies, occluder and wall.
        motion: for where the bodies are.
        num_frames: T.
        size: H and W.
        draw: numbers in [0, 1), for the shades.
        textured: as in ``PhysicsVideoDataset``.

    Returns:
        uint8 ``[T, 3, H, W]``.
    """
    background = CONTRAST * value_noise(CELLS, size, draw) if textured else _dark(draw)
    frames = background.expand(num_frames, 3, size, size)
    if scene.wall is not None:
        frames = _paint(frames, WALL_TONE, _bar_cover(scene.wall, size))
    for body, states in zip(scene.bodies, motion.states, strict=True):
        frames = _paint(frames, bright(body.color, draw), _cover(body, states, size)[:, None])
    if scene.occluder is not None:
        frames = _paint(frames, OCCLUDER_TONE, _bar_cover(scene.occluder, size))
    return (frames * 255).round_().to(torch.uint8)


def body_masks(scene: Scene, motion: Motion, num_frames: int, size: int) -> Tensor:
    """Which body each pixel shows: its number from 1, in the order of the scene, and 0 for none; int64 ``[T, H, W]``.

    Args:
        scene: for bodies and occluder, which hides those behind it.
        motion: for where the bodies are.
        num_frames: T.
        size: H and W.
    """
    found = torch.zeros(num_frames, size, size, dtype=torch.long)
    for number, (body, states) in enumerate(zip(scene.bodies, motion.states, strict=True)):
        found[_cover(body, states, size) > 0.5] = number + 1
    if scene.occluder is not None:
        found[..., _bar_cover(scene.occluder, size) > 0.5] = 0
    return found


def _cover(body: Body, states: Sequence[State], size: int) -> Tensor:
    """How much of each pixel a body covers, ``[T, H, W]``."""
    places = [Place(state.x, state.y, body.radius, body.angle) for state in states]
    return coverage(SHAPE_FUNCTIONS[body.shape](*coordinates(size, places)), places)


def _dark(draw: UniformDraw) -> Tensor:
    level = 0.06 + 0.12 * draw()
    return torch.tensor([level + 0.06 * (draw() - 0.5) for _ in range(3)]).view(3, 1, 1)


def _paint(frames: Tensor, tone: tuple[float, ...], cover: Tensor) -> Tensor:
    return blend(frames, torch.tensor(tone).view(1, 3, 1, 1), cover)


def _bar_cover(bar: Bar, size: int) -> Tensor:
    """How much of each column a bar covers: ``[W]``."""
    left = torch.arange(size) / size
    return ((bar[1] - left).clamp(0, 1 / size) - (bar[0] - left).clamp(0, 1 / size)) * size
