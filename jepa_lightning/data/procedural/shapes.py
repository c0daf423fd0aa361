# C channels, H W height and width
"""Procedural scenes of bright flat shapes on dark textures, with several labels an image and no download."""

import colorsys
import math
import random
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from torchvision.ops import masks_to_boxes

from jepa_lightning.data.base import JEPADataModule
from jepa_lightning.data.dense import BOX_CLASSES, BOXES, DEPTH, MASK
from jepa_lightning.data.procedural.drawing import SHAPES, TEXTURES, Place, UniformDraw, blend, coordinates, coverage
from jepa_lightning.options import PositiveInt, Seed, check_options
from jepa_lightning.types import Sample

COLORS = ("red", "orange", "yellow", "green", "cyan", "blue", "violet", "pink")
HUES = (0.0, 0.075, 0.15, 0.33, 0.5, 0.62, 0.77, 0.89)
SCALES = ("small", "medium", "large")
MAX_COUNT = 4
GAP = 0.02  # least distance of two objects, over the image's side
NEAR = 0.1  # radius of an object at depth 1
VAL_OFFSET = 1 << 30  # far from any training index: the validation images do not depend on num_train

SHAPES_CLASS_NAMES = {
    "shape": tuple(SHAPES),
    "color": COLORS,
    "count": tuple(str(n + 1) for n in range(MAX_COUNT)),
    "position": tuple(
        f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "center", "right")
    ),
    "scale": SCALES,
    "background": (*TEXTURES, "noise"),
}


class ShapesDataset(Dataset[Any]):
    """Scenes of one large object and up to three small ones of the same shape and color, apart from each other.

    Every label is drawn evenly and on its own. Position and scale are those of the large object. A scene follows from
    (seed, index) alone.

    Args:
        size: number of scenes.
        image_size: pixels per side; the scenes are the same at every size.
        seed: another one gives other scenes.
        offset: index of the first scene.
        dense: give labels of pixels too, as a `jepa_lightning.types.Sample` with the extras ``mask`` (0 is background,
            the others are shapes in the order of ``class_names`` plus 1), ``depth`` (as if all objects were of one
            size: 0.1 over the radius; the background is 1), ``boxes`` ``[4, 4]``, the large object first, and
            ``box_classes`` ``[4]``, shapes in the order of ``class_names``. Further labels are then the numbers
            ``place`` (x, y and radius of the large object) and ``distance`` (to the nearest other one; unlabeled where
            it is alone). The image's side is 1.

    Example:
        >>> from jepa_lightning.data import ShapesDataset
        >>> image, labels, _ = ShapesDataset(100, image_size=32)[0]
        >>> image.shape, sorted(labels)
        (torch.Size([3, 32, 32]), ['background', 'color', 'count', 'position', 'scale', 'shape'])
    """

    def __init__(self, size: int, image_size: int = 48, seed: int = 0, offset: int = 0, dense: bool = False) -> None:
        self.size = size
        self.image_size = image_size
        self.seed = seed
        self.offset = offset
        self.dense = dense

    def __len__(self) -> int:
        """Number of scenes."""
        return self.size

    def __getitem__(self, index: int) -> Any:
        """Image uint8 ``[3, H, W]``, labels, and no path; a ``Sample`` with labels of pixels."""
        labels, draw = self._draw_labels(index)
        places = _place(labels, draw)
        shape = list(SHAPES.values())[labels["shape"]]
        each = coverage(shape(*coordinates(self.image_size, places)), places)
        cover = each.amax(0)
        color, first, second = _colors(labels["color"], draw)
        background = blend(first, second, self._texture(labels["background"], draw))
        image = blend(background, color, cover).round_().to(torch.uint8)
        if not self.dense:
            return image, labels, None
        return Sample(image, {**labels, **_numbers(places)}, None, _dense(each, places, labels["shape"]))

    def labels(self, index: int) -> dict[str, int]:
        """The labels of a scene, without drawing it."""
        return self._draw_labels(index)[0]

    def _draw_labels(self, index: int) -> tuple[dict[str, int], UniformDraw]:
        """The labels of a scene, and the rest of its random numbers."""
        if not 0 <= index < self.size:
            raise IndexError(f"scene {index} of {self.size}")
        # only random() of Python's generator: the one whose values are promised to be the same everywhere
        draw = random.Random((self.seed << 40) + self.offset + index).random
        return {name: int(draw() * len(names)) for name, names in SHAPES_CLASS_NAMES.items()}, draw

    def _texture(self, label: int, draw: UniformDraw) -> Tensor:
        """Share of the second tone ``[H, W]``."""
        if label == len(TEXTURES):
            grains = torch.tensor([draw() for _ in range(256)]).view(16, 16)
            index = torch.arange(self.image_size) * 16 // self.image_size
            return grains[index][:, index]
        period = 0.14 + 0.1 * draw()
        origin = Place(0.4 + 0.2 * draw(), 0.4 + 0.2 * draw(), period, 2 * math.pi * draw())
        x, y = coordinates(self.image_size, [origin])
        return list(TEXTURES.values())[label](x[0], y[0], 1 / (period * self.image_size))


def _numbers(places: list[Place]) -> dict[str, Any]:
    """Where the large object is, and how far the nearest other one."""
    large, *others = places
    found = [math.hypot(large.x - other.x, large.y - other.y) for other in others]
    return {"place": torch.tensor([large.x, large.y, large.radius]), "distance": min(found, default=None)}


def _dense(cover: Tensor, places: list[Place], shape: int) -> dict[str, Tensor]:
    """Labels of pixels, from how much of each pixel each object covers, ``[n, H, W]``."""
    inside = cover > 0.5
    boxes = torch.full((MAX_COUNT, 4), math.nan)
    depth = torch.ones(cover.shape[1:])
    for number, (pixels, place) in enumerate(zip(inside, places, strict=True)):
        depth[pixels] = NEAR / place.radius
        if pixels.any():
            boxes[number] = masks_to_boxes(pixels[None])[0] + torch.tensor([0.0, 0.0, 1.0, 1.0])
    classes = torch.full((MAX_COUNT,), shape).masked_fill(boxes.isnan().any(dim=1), -1)
    return {MASK: inside.any(dim=0).long() * (shape + 1), DEPTH: depth, BOXES: boxes, BOX_CLASSES: classes}


def _place(labels: dict[str, int], draw: UniformDraw) -> list[Place]:
    """Where the objects are, the large one first."""
    radius = 0.19 + 0.045 * (labels["scale"] + draw())
    column, row = labels["position"] % 3, labels["position"] // 3
    places = [Place(_inside(column, radius, draw()), _inside(row, radius, draw()), radius, _tilt(draw))]
    radius = 0.15
    while len(places) <= labels["count"]:
        x, y = (radius + (1 - 2 * radius) * draw() for _ in range(2))
        if all(math.hypot(x - other.x, y - other.y) > radius + other.radius + GAP for other in places):
            places.append(Place(x, y, radius, _tilt(draw)))
        else:
            radius *= 0.99  # a small one finds room in the end
    return places


def _tilt(draw: UniformDraw) -> float:
    """An angle of at most a seventh of a right angle: upright, but not on the pixel grid."""
    return math.pi / 7 * (draw() - 0.5)


def _inside(cell: int, radius: float, share: float) -> float:
    """A center in one of three cells, such that the object lies in the image."""
    low, high = max(radius, cell / 3), min(1 - radius, (cell + 1) / 3)
    return low + share * (high - low)


def _colors(label: int, draw: UniformDraw) -> tuple[Tensor, Tensor, Tensor]:
    """The objects' bright color and two dark background tones, each ``[3, 1, 1]``."""
    color = bright(label, draw)
    level = 0.08 + 0.14 * draw()
    step = 0.02 + 0.03 * draw()  # faint, so that shapes stand out before textures do
    dark, light = ([level + shift + 0.06 * (draw() - 0.5) for _ in range(3)] for shift in (-step, step))
    paint, first, second = torch.tensor([*color, *dark, *light]).clamp_(0, 1).mul_(255).view(3, 3, 1, 1)
    return paint, first, second


def bright(label: int, draw: UniformDraw) -> tuple[float, float, float]:
    """A bright tone of one of the named colors: red, green and blue in [0, 1]."""
    return colorsys.hsv_to_rgb(HUES[label] + 0.05 * (draw() - 0.5), 0.6 + 0.4 * draw(), 0.8 + 0.2 * draw())


class ShapesDataModule(JEPADataModule):
    """Procedural scenes with labels for shape, color, count, position, scale and background.

    Args:
        num_train: training scenes.
        num_val: validation scenes; the same ones whatever num_train is.
        image_size: pixels per side.
        seed: another one gives other scenes.
        dense: give labels of pixels, and numbers, as ``ShapesDataset`` does.
        options: of `JEPADataModule`.

    Attributes:
        mask_names: of the classes of masks; None without them.
        box_names: of the classes of boxes; None without them.

    Example:
        >>> from jepa_lightning.data import ShapesDataModule
        >>> data = ShapesDataModule(num_train=64, num_val=16, image_size=32, batch_size=8)
        >>> data.num_classes["color"]
        8
    """

    def __init__(
        self,
        num_train: PositiveInt = 8192,
        num_val: PositiveInt = 1024,
        image_size: PositiveInt = 48,
        seed: Seed = 0,
        dense: bool = False,
        **options: Any,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(**options)
        self.num_train = num_train
        self.num_val = num_val
        self.image_size = image_size
        self.seed, self.dense = seed, dense
        self.box_names = tuple(SHAPES) if dense else None
        self.mask_names = ("background", *SHAPES) if dense else None
        self.class_names = SHAPES_CLASS_NAMES

    @property
    def num_classes(self) -> dict[str, int]:
        """Number of classes of each label."""
        return {name: len(names) for name, names in SHAPES_CLASS_NAMES.items()}

    def build_datasets(self) -> tuple[ShapesDataset, ShapesDataset]:
        """Scenes from index 0, and from one far beyond."""
        return (
            ShapesDataset(self.num_train, self.image_size, self.seed, dense=self.dense),
            ShapesDataset(self.num_val, self.image_size, self.seed, VAL_OFFSET, self.dense),
        )
