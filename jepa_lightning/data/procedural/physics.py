# T frames, H W height and width
"""Procedural clips of the small world, made from an index."""

import random
from typing import Any

from torch.utils.data import Dataset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.dense import MASK
from jepa_lightning.data.procedural.drawing import SHAPES, UniformDraw
from jepa_lightning.data.procedural.physics_render import body_masks, render
from jepa_lightning.data.procedural.physics_scenes import draw_scene
from jepa_lightning.data.procedural.physics_world import DIRECTIONS, simulate
from jepa_lightning.data.procedural.shapes import COLORS, VAL_OFFSET
from jepa_lightning.options import PositiveInt, Seed, check_options
from jepa_lightning.types import Sample

PHYSICS_CLASS_NAMES = {
    "direction": DIRECTIONS,
    "speed": ("slow", "medium", "fast"),
    "gravity": ("off", "on"),
    "collisions": ("none", "one", "more"),
    "shape": tuple(SHAPES),
    "color": COLORS,
}
MASK_NAMES = ("background", "large body", "small body")
DRAWN = ("direction", "speed", "gravity", "shape", "color")  # the collisions follow


class PhysicsVideoDataset(Dataset[Any]):
    """Clips of one large body and up to two small ones, with an occluder, a wall, or neither.

    Labels are those of the large body: the direction and speed it starts with, whether it falls, how often it meets
    another one, its shape and color. Where it starts does not tell its direction, unless there is a wall to keep off.
    A clip follows from (seed, index) alone.

    Args:
        size: number of clips.
        num_frames: T.
        image_size: pixels per side.
        seed: another one gives other clips.
        offset: index of the first clip.
        textured: a motley background, another one in each clip, instead of a dark plain one, before which tokens of
            random weights tell much of the motion already.
        dense: give, as a `jepa_lightning.types.Sample`, the extra ``mask`` int64 ``[T, H, W]`` too: what each
            pixel shows, 0 is no body, 1 the large one, and 2 a small one. Two small ones are alike but for their order.

    Example:
        >>> from jepa_lightning.data import PhysicsVideoDataset
        >>> clip, labels, _ = PhysicsVideoDataset(10, num_frames=8, image_size=32)[0]
        >>> clip.shape
        torch.Size([8, 3, 32, 32])
    """

    def __init__(
        self,
        size: int,
        num_frames: int = 16,
        image_size: int = 48,
        seed: int = 0,
        offset: int = 0,
        textured: bool = False,
        dense: bool = False,
    ) -> None:
        self.dense = dense
        self.size, self.num_frames, self.image_size = size, num_frames, image_size
        self.seed, self.offset, self.textured = seed, offset, textured

    def __len__(self) -> int:
        """Number of clips."""
        return self.size

    def __getitem__(self, index: int) -> Any:
        """Frames uint8 ``[T, 3, H, W]``, labels, and no path; a ``Sample`` with masks."""
        if not 0 <= index < self.size:
            raise IndexError(f"clip {index} of {self.size}")
        draw = random.Random((self.seed << 40) + self.offset + index).random
        labels = draw_labels(draw)
        scene = draw_scene(labels, draw)
        motion = simulate(scene, self.num_frames)
        labels["collisions"] = min(motion.collisions, 2)
        frames = render(scene, motion, self.num_frames, self.image_size, draw, self.textured)
        if not self.dense:
            return frames, labels, None
        bodies = body_masks(scene, motion, self.num_frames, self.image_size)
        return Sample(frames, labels, None, {MASK: bodies.clamp(max=len(MASK_NAMES) - 1)})


def draw_labels(draw: UniformDraw) -> dict[str, int]:
    """Labels of a scene to come."""
    return {name: int(draw() * len(PHYSICS_CLASS_NAMES[name])) for name in DRAWN}


class PhysicsVideoDataModule(JEPADataModule):
    """Procedural clips with labels for direction, speed, gravity, collisions, shape and color.

    Args:
        num_train: training clips.
        num_val: validation clips; the same ones whatever num_train is.
        num_frames: of each clip.
        image_size: pixels per side.
        seed: another one gives other clips.
        textured: as in ``PhysicsVideoDataset``.
        dense: give masks too, as in ``PhysicsVideoDataset``.
        options: of `JEPADataModule`.

    Attributes:
        mask_names: of the numbers in masks; None without them.

    Example:
        >>> from jepa_lightning.data import PhysicsVideoDataModule
        >>> data = PhysicsVideoDataModule(num_train=64, num_val=16, num_frames=8, batch_size=8)
        >>> data.num_classes["direction"]
        8
    """

    def __init__(
        self,
        num_train: PositiveInt = 4096,
        num_val: PositiveInt = 512,
        num_frames: PositiveInt = 16,
        image_size: PositiveInt = 48,
        seed: Seed = 0,
        textured: bool = False,
        dense: bool = False,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        self.num_train, self.num_val = num_train, num_val
        self.num_frames, self.image_size, self.seed, self.textured = num_frames, image_size, seed, textured
        self.class_names, self.dense = PHYSICS_CLASS_NAMES, dense
        self.mask_names = MASK_NAMES if dense else None

    @property
    def num_classes(self) -> dict[str, int]:
        """Number of classes of each label."""
        return {name: len(names) for name, names in PHYSICS_CLASS_NAMES.items()}

    def build_datasets(self) -> tuple[PhysicsVideoDataset, PhysicsVideoDataset]:
        """Clips from index 0, and from one far beyond."""
        shared = (self.num_frames, self.image_size, self.seed)
        return (
            PhysicsVideoDataset(self.num_train, *shared, textured=self.textured, dense=self.dense),
            PhysicsVideoDataset(self.num_val, *shared, offset=VAL_OFFSET, textured=self.textured, dense=self.dense),
        )
