# n objects, H W height and width
"""Flat shapes and background textures as signed distances, evaluated on all pixels together.

Pixels go through sums, products and square roots only: these round alike everywhere, so a scene has the same bytes on
every machine.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

UniformDraw = Callable[[], float]  # a random number in [0, 1)


class Place(NamedTuple):
    """Center, radius and angle in radians of an object; the image's side is 1."""

    x: float
    y: float
    radius: float
    angle: float


def coordinates(size: int, places: Sequence[Place]) -> tuple[Tensor, Tensor]:
    """Pixel centers as seen from n objects, turned with them and in units of their radius.

    Args:
        size: pixels per side of the image.
        places: where the objects are.

    Returns:
        x and y, each ``[n, H, W]``.
    """
    # Python's cosine: torch's depends on the processor in the last digit
    columns = [(x, y, math.cos(angle) / radius, math.sin(angle) / radius) for x, y, radius, angle in places]
    x, y, cos, sin = torch.tensor(columns).unsqueeze(2).unbind(1)
    x, y = _pixel_centers(size) - x, _pixel_centers(size) - y
    return (cos * x)[:, None] + (sin * y)[:, :, None], (cos * y)[:, :, None] - (sin * x)[:, None]


def coverage(distance: Tensor, places: Sequence[Place]) -> Tensor:
    """How much of each pixel each object covers, from the distance ``[n, H, W]`` to its edge in units of its radius."""
    pixels = torch.tensor([place.radius * distance.shape[-1] for place in places])
    return (0.5 - distance * pixels[:, None, None]).clamp_(0, 1)


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """The way from first to second, as far as the share says."""
    # torch.lerp fuses the sum and the product on some processors and not on others
    return first + (second - first) * share


def _root(x: Tensor) -> Tensor:
    # torch's root is that of MKL, whose last digit depends on the processor; that of float64 rounds to the true one
    return x.double().sqrt_().to(x.dtype)


def _disc(x: Tensor, y: Tensor) -> Tensor:
    return _root(x * x + y * y) - 0.86


def _ring(x: Tensor, y: Tensor) -> Tensor:
    return (_root(x * x + y * y) - 0.7).abs_() - 0.22


def _square(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(x.abs(), y.abs()) - 0.7


def _triangle(x: Tensor, y: Tensor) -> Tensor:
    return torch.maximum(-y, x.abs() * math.sqrt(0.75) + y * 0.5) - 0.5


def _cross(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.abs(), y.abs()
    return torch.maximum(torch.minimum(x, y) - 0.29, torch.maximum(x, y) - 0.92)


def _star(x: Tensor, y: Tensor) -> Tensor:
    # two reflections fold the plane into the wedge of one point, which ends at (0, 1)
    x = x.abs()
    for sign in (1, -1):
        nx, ny = sign * math.cos(math.pi / 5), -math.sin(math.pi / 5)
        beyond = (x * nx + y * ny).clamp_(min=0) * 2
        x, y = x - beyond * nx, y - beyond * ny
    inner = 0.42
    ex, ey = inner * math.sin(math.pi / 5), inner * math.cos(math.pi / 5) - 1
    length = math.hypot(ex, ey)
    return x.abs() * (-ey / length) + (y - 1) * (ex / length)


def _heart(x: Tensor, y: Tensor) -> Tensor:
    # a square on its tip and a half disc on each of its upper sides
    x, y = x.abs(), y + 0.2
    reach, side = 0.78, math.sqrt(0.5)
    square = (x + y.abs()) * side - reach * side
    lobe = _root((x - reach / 2).square_() + (y - reach / 2).square_()) - reach * side
    return torch.minimum(square, lobe)


def _crescent(x: Tensor, y: Tensor) -> Tensor:
    y = y * y
    return torch.maximum(_root(x * x + y) - 0.98, 0.8 - _root((x - 0.5).square_() + y))


SHAPES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "disc": _disc,
    "ring": _ring,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "star": _star,
    "heart": _heart,
    "crescent": _crescent,
}
"""Signed distance to each shape, negative inside; all fit in the unit circle."""


def _wave(x: Tensor) -> Tensor:
    """A triangle wave of period 1 between -0.25 and 0.25, positive where x is near a whole number."""
    return (x - x.round()).abs_().neg_().add_(0.25)


def _plain(x: Tensor, y: Tensor, softness: float) -> Tensor:
    return torch.zeros_like(x)


def _gradient(x: Tensor, y: Tensor, softness: float) -> Tensor:
    return (x * 0.14 + 0.5).clamp_(0, 1)


def _stripes(x: Tensor, y: Tensor, softness: float) -> Tensor:
    return (_wave(x) / softness + 0.5).clamp_(0, 1)


def _checker(x: Tensor, y: Tensor, softness: float) -> Tensor:
    a, b = _stripes(x * 0.7, y, softness * 0.7), _stripes(y * 0.7, x, softness * 0.7)
    return (a - b).abs_()


def _dots(x: Tensor, y: Tensor, softness: float) -> Tensor:
    x, y = x - x.round(), y - y.round()
    return ((0.32 - _root(x * x + y * y)) / softness + 0.5).clamp_(0, 1)


TEXTURES: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "plain": _plain,
    "gradient": _gradient,
    "stripes": _stripes,
    "checker": _checker,
    "dots": _dots,
}
"""Share of a background's second tone at each point, from coordinates in periods and a pixel's width in the same."""


@cache
def _pixel_centers(size: int) -> Tensor:
    return (torch.arange(size) + 0.5) / size
