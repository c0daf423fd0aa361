# C channels, H W height and width
"""Procedural scenes of nine equal objects, some of which have an odd one: what an anomaly detector should find."""

import math
import random
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.utils.data import Dataset

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.procedural.drawing import SHAPES, TEXTURES, Place, UniformDraw, blend, coordinates, coverage
from jepa_lightning.data.procedural.shapes import COLORS, VAL_OFFSET, bright
from jepa_lightning.options import PositiveInt, Seed, check_options

Odd = Literal["none", "color", "shape", "missing"]
ODD: tuple[Odd, ...] = get_args(Odd)
SIDE = 3  # objects along rows and columns
ODD_CLASS_NAMES = {"odd": ODD, "cell": ("none", *(f"row {i // SIDE}, column {i % SIDE}" for i in range(SIDE**2)))}


class OddScenesDataset(Dataset[tuple[Tensor, dict[str, int], None]]):
    """Scenes of nine objects of one shape and color, in three rows, of which one may be odd.

    An odd object has another color or another shape than its neighbors, or is missing. Colors, shapes and background
    are drawn evenly in all scenes, so nothing is odd by itself: only beside the others. A scene follows from (seed,
    index) alone.

    Args:
        size: number of scenes.
        image_size: pixels per side; the scenes are the same at every size.
        odd: kinds of scenes, which take turns; ("none",) has no odd ones.
        seed: another one gives other scenes.
        offset: index of the first scene.

    Raises:
        ValueError: if there is no such kind.

    Example:
        >>> from jepa_lightning.data import OddScenesDataset
        >>> image, labels, _ = OddScenesDataset(8, image_size=32, odd=("none", "color"))[1]
        >>> image.shape, labels["odd"]
        (torch.Size([3, 32, 32]), 1)
    """

    def __init__(
        self, size: int, image_size: int = 48, odd: tuple[Odd, ...] = ("none",), seed: int = 0, offset: int = 0
    ) -> None:
        if not odd or set(odd) - set(ODD):
            raise ValueError(f"odd={odd!r}: give one or more of {', '.join(ODD)}.")
        self.size, self.image_size, self.odd, self.seed, self.offset = size, image_size, odd, seed, offset

    def __len__(self) -> int:
        """Number of scenes."""
        return self.size

    def __getitem__(self, index: int) -> tuple[Tensor, dict[str, int], None]:
        """Image uint8 ``[3, H, W]``, labels ``odd`` and ``cell``, 0 where there is none, and no path."""
        if not 0 <= index < self.size:
            raise IndexError(f"scene {index} of {self.size}")
        draw = random.Random((self.seed << 40) + 4 * VAL_OFFSET + self.offset + index).random
        kind = self.odd[index % len(self.odd)]
        cell, (shape, other_shape), (color, other_color) = int(draw() * SIDE**2), _two(SHAPES, draw), _two(COLORS, draw)
        places = [_jittered(i, draw) for i in range(SIDE**2)]
        image = self._background(draw)
        paints = [bright(other_color if i == cell and kind == "color" else color, draw) for i in range(SIDE**2)]
        covers = self._cover(shape, places)
        if kind == "shape":
            covers[cell] = self._cover(other_shape, [places[cell]])[0]
        if kind == "missing":
            covers[cell] = 0
        # hues around 0 leave the range of a color by a little
        for paint, cover in zip(torch.tensor(paints).clamp_(0, 1).mul_(255).view(-1, 3, 1, 1), covers, strict=True):
            image = blend(image, paint, cover)
        labels = {"odd": ODD.index(kind), "cell": 0 if kind == "none" else cell + 1}
        return image.round_().to(torch.uint8), labels, None

    def _cover(self, shape: int, places: list[Place]) -> Tensor:
        """How much of each pixel objects of a shape cover, ``[n, H, W]``."""
        return coverage(list(SHAPES.values())[shape](*coordinates(self.image_size, places)), places)

    def _background(self, draw: UniformDraw) -> Tensor:
        """A dark texture of two faint tones, float ``[3, H, W]`` from 0 to 255."""
        texture = list(TEXTURES.values())[int(draw() * len(TEXTURES))]
        level, period = 20 + 35 * draw(), 0.14 + 0.1 * draw()
        x, y = coordinates(self.image_size, [Place(0.5, 0.5, period, 2 * math.pi * draw())])
        dark, light = (torch.tensor([level + up + 15 * draw() for _ in range(3)]).view(3, 1, 1) for up in (0.0, 10.0))
        return blend(dark, light, texture(x[0], y[0], 1 / (period * self.image_size)))


def _two(names: Any, draw: UniformDraw) -> tuple[int, int]:
    """An index, and another one."""
    first = int(draw() * len(names))
    return first, (first + 1 + int(draw() * (len(names) - 1))) % len(names)


def _jittered(cell: int, draw: UniformDraw) -> Place:
    """Somewhere near the center of a cell, a little tilted."""
    x, y = ((at + 0.5) / SIDE + 0.04 * (draw() - 0.5) for at in (cell % SIDE, cell // SIDE))
    return Place(x, y, 0.12 + 0.03 * draw(), math.pi / 7 * (draw() - 0.5))


class OddScenesDataModule(JEPADataModule):
    """Scenes without odd objects for training, and such with and without in turn for validation.

    Args:
        num_train: training scenes.
        num_val: validation scenes; the same ones whatever num_train is.
        image_size: pixels per side.
        seed: another one gives other scenes.
        options: of `JEPADataModule`.

    Example:
        >>> from jepa_lightning.data import OddScenesDataModule
        >>> data = OddScenesDataModule(num_train=64, num_val=16, image_size=32, batch_size=8)
        >>> data.class_names["odd"]
        ('none', 'color', 'shape', 'missing')
    """

    def __init__(
        self,
        num_train: PositiveInt = 8192,
        num_val: PositiveInt = 1024,
        image_size: PositiveInt = 48,
        seed: Seed = 0,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        self.num_train, self.num_val, self.image_size, self.seed = num_train, num_val, image_size, seed
        self.class_names = ODD_CLASS_NAMES

    @property
    def num_classes(self) -> dict[str, int]:
        """Number of classes of each label."""
        return {name: len(names) for name, names in ODD_CLASS_NAMES.items()}

    def build_datasets(self) -> tuple[OddScenesDataset, OddScenesDataset]:
        """Scenes from index 0, and from one far beyond."""
        return (
            OddScenesDataset(self.num_train, self.image_size, ("none",), self.seed),
            OddScenesDataset(self.num_val, self.image_size, ODD, self.seed, VAL_OFFSET),
        )
