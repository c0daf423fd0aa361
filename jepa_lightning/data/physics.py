# C channels, T frames, H W height and width
"""Procedural clips of the small world, made from an index."""

import random
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.drawing import SHAPES, Place, blend, coordinates, coverage
from jepa_lightning.data.physics_scenes import draw_scene
from jepa_lightning.data.physics_world import (
    DIRECTIONS,
    Bar,
    Draw,
    Motion,
    Scene,
    simulate,
)
from jepa_lightning.data.shapes import COLOURS, VAL_OFFSET, bright
from jepa_lightning.data.value_noise import value_noise

SHAPE_FUNCTIONS = list(SHAPES.values())
OCCLUDER_TONE, WALL_TONE = (0.45, 0.45, 0.5), (0.85, 0.85, 0.85)
CELLS, CONTRAST = 6, 0.5  # of a textured background: cells along a side, and the brightest tone
PHYSICS_CLASS_NAMES = {
    "direction": DIRECTIONS,
    "speed": ("slow", "medium", "fast"),
    "gravity": ("off", "on"),
    "collisions": ("none", "one", "more"),
    "shape": tuple(SHAPES),
    "colour": COLOURS,
}
DRAWN = ("direction", "speed", "gravity", "shape", "colour")  # the collisions follow


class PhysicsVideoDataset(Dataset[tuple[Tensor, dict[str, int], None]]):
    """Clips of one large body and up to two small ones, with an occluder, a wall, or neither.

    Labels are those of the large body: the direction and speed it starts with, whether it falls, how often it meets
    another one, its shape and colour. Where it starts does not tell its direction, unless there is a wall to keep off.
    A clip follows from (seed, index) alone.

    Args:
        size: number of clips.
        num_frames: T.
        image_size: pixels per side.
        seed: another one gives other clips.
        offset: index of the first clip.
        textured: a motley background, another one in each clip, instead of a dark plain one, before which tokens of
            random weights tell much of the motion already.
    """

    def __init__(
        self,
        size: int,
        num_frames: int = 16,
        image_size: int = 48,
        seed: int = 0,
        offset: int = 0,
        textured: bool = False,
    ) -> None:
        self.size, self.num_frames, self.image_size = size, num_frames, image_size
        self.seed, self.offset, self.textured = seed, offset, textured

    def __len__(self) -> int:
        """Number of clips."""
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, int], None]:
        """Frames uint8 ``[T, 3, H, W]``, labels, and no path."""
        if not 0 <= index < self.size:
            raise IndexError(f"clip {index} of {self.size}")
        draw = random.Random((self.seed << 40) + self.offset + index).random
        labels = draw_labels(draw)
        scene = draw_scene(labels, draw)
        motion = simulate(scene, self.num_frames)
        labels["collisions"] = min(motion.collisions, 2)
        return render(scene, motion, self.num_frames, self.image_size, draw, self.textured), labels, None


def render(scene: Scene, motion: Motion, num_frames: int, size: int, draw: Draw, textured: bool = False) -> Tensor:
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
        places = [Place(state.x, state.y, body.radius, body.angle) for state in states]
        x, y = coordinates(size, places)
        cover = coverage(SHAPE_FUNCTIONS[body.shape](x, y), places)
        frames = _paint(frames, bright(body.colour, draw), cover[:, None])
    if scene.occluder is not None:
        frames = _paint(frames, OCCLUDER_TONE, _bar_cover(scene.occluder, size))
    return (frames * 255).round_().to(torch.uint8)


def _dark(draw: Draw) -> Tensor:
    level = 0.06 + 0.12 * draw()
    return torch.tensor([level + 0.06 * (draw() - 0.5) for _ in range(3)]).view(3, 1, 1)


def _paint(frames: Tensor, tone: tuple[float, ...], cover: Tensor) -> Tensor:
    return blend(frames, torch.tensor(tone).view(1, 3, 1, 1), cover)


def _bar_cover(bar: Bar, size: int) -> Tensor:
    """How much of each column a bar covers: ``[W]``."""
    left = torch.arange(size) / size
    return ((bar[1] - left).clamp(0, 1 / size) - (bar[0] - left).clamp(0, 1 / size)) * size


def draw_labels(draw: Draw) -> dict[str, int]:
    """Labels of a scene to come."""
    return {name: int(draw() * len(PHYSICS_CLASS_NAMES[name])) for name in DRAWN}


class PhysicsVideoDataModule(JEPADataModule):
    """Procedural clips with labels for direction, speed, gravity, collisions, shape and colour.

    Args:
        num_train: training clips.
        num_val: validation clips; the same ones whatever num_train is.
        num_frames: of each clip.
        image_size: pixels per side.
        seed: another one gives other clips.
        textured: as in ``PhysicsVideoDataset``.
        options: of `JEPADataModule`.
    """

    def __init__(
        self,
        num_train: int = 4096,
        num_val: int = 512,
        num_frames: int = 16,
        image_size: int = 48,
        seed: int = 0,
        textured: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.num_train, self.num_val = num_train, num_val
        self.num_frames, self.image_size, self.seed, self.textured = num_frames, image_size, seed, textured
        self.class_names = PHYSICS_CLASS_NAMES

    @property
    def num_classes(self) -> dict[str, int]:
        """Number of classes of each label."""
        return {name: len(names) for name, names in self.class_names.items()}

    def build_datasets(self) -> tuple[PhysicsVideoDataset, PhysicsVideoDataset]:
        """Clips from index 0, and from one far beyond."""
        shared = (self.num_frames, self.image_size, self.seed)
        return (
            PhysicsVideoDataset(self.num_train, *shared, textured=self.textured),
            PhysicsVideoDataset(self.num_val, *shared, offset=VAL_OFFSET, textured=self.textured),
        )
