# n boxes of all images
"""Boxes in a JSON file of the form that COCO's annotations have."""

import json
import math
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import torch
from torch import Tensor

LARGEST = 1_000_000  # pixels of a side
ROUNDING = 1.0  # pixels by which a box may reach out of its image: those of real data are rounded

Entry = Mapping[str, Any]


class BoxedImage(NamedTuple):
    """Path relative to the folder, no label, size in pixels, and which boxes: from the first to before the end."""

    path: str
    label: None
    width: float
    height: float
    first: float = 0
    end: float = 0


@dataclass(frozen=True)
class CocoFile:
    """What a file says.

    Attributes:
        images: in its order, with places among the boxes.
        categories: names, in the order of their ids.
        boxes: float ``[n, 4]``: left, top, right and bottom in pixels, image by image.
        classes: int64 ``[n]``, places among the categories.
        crowds: bool ``[n]``, whether a box is around many objects.
    """

    images: list[BoxedImage]
    categories: tuple[str, ...]
    boxes: Tensor
    classes: Tensor
    crowds: Tensor


class _Box(NamedTuple):
    """Id of its image, ``[x, y, width, height]``, place of its category, and whether it is a crowd."""

    image: int
    sides: tuple[float, ...]
    category: int
    crowd: bool


def read_coco(path: Path, max_bad_share: float) -> CocoFile:
    """Reads a file: its images, its categories and the boxes of its annotations, and nothing else.

    A box that is empty, or reaches out of its image by a pixel or more, is left out; all of them are named in one
    warning. Less than a pixel is cut off.

    Args:
        path: of the file.
        max_bad_share: greatest share of boxes that may be left out.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it is no JSON of this form, with the entry, or too many boxes are wrong.
    """
    content = _content(path)
    names = _by_id(path, content, "categories", _name)
    images = _by_id(path, content, "images", _image)
    _check_once(path, "categories", "name", names.values())
    _check_once(path, "images", "file_name", [image.path for image in images.values()])
    places = {number: place for place, number in enumerate(sorted(names))}
    boxes = _each(path, content, "annotations", lambda entry: _box(entry, images, places))
    inside = [_inside(box, images[box.image]) for box in boxes]
    _report(path, [box for box, sides in zip(boxes, inside, strict=True) if sides is None], len(boxes), max_bad_share)
    order = {number: place for place, number in enumerate(images)}
    kept = [(order[box.image], sides, box) for box, sides in zip(boxes, inside, strict=True) if sides is not None]
    kept.sort(key=lambda each: each[0])
    ends = torch.bincount(
        torch.tensor([place for place, _, _ in kept], dtype=torch.long), minlength=len(images)
    ).cumsum(0)
    firsts = [0, *ends.tolist()]
    return CocoFile(
        [image._replace(first=firsts[i], end=firsts[i + 1]) for i, image in enumerate(images.values())],
        tuple(names[number] for number in sorted(names)),
        torch.tensor([sides for _, sides, _ in kept]).view(-1, 4),
        torch.tensor([box.category for _, _, box in kept], dtype=torch.long),
        torch.tensor([box.crowd for _, _, box in kept], dtype=torch.bool),
    )


def _content(path: Path) -> Entry:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of annotations {path}.")
    try:
        with path.open(encoding="utf-8-sig") as file:
            content = json.load(file, parse_constant=_refuse)
    except (ValueError, RecursionError, OSError) as error:  # text that is not UTF-8 is a ValueError too
        raise ValueError(f"{path} cannot be read as JSON: {error}.") from None
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise ValueError(
                f"{path} has no list '{name}': a file of COCO's form is an object with images, annotations and "
                "categories."
            )
    return content  # type: ignore[no-any-return]


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a JSON number")


def _each(path: Path, content: Entry, name: str, read: Callable[[Entry], Any]) -> list[Any]:
    """What is read of each entry of a list; a fault is named with the place of its entry."""
    found = []
    for place, entry in enumerate(content[name]):
        try:
            found.append(read(entry if isinstance(entry, dict) else {}))
        except ValueError as error:
            raise ValueError(f"{path}: {name}[{place}] {error}.") from None
    return found


def _by_id(path: Path, content: Entry, name: str, read: Callable[[Entry], Any]) -> dict[int, Any]:
    pairs = _each(path, content, name, lambda entry: (_whole(entry, "id"), read(entry)))
    _check_once(path, name, "id", [number for number, _ in pairs])
    return dict(pairs)


def _check_once(path: Path, name: str, key: str, values: Iterable[Any]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{path}: two of the {name} have the {key} {value!r}.")
        seen.add(value)


def _name(entry: Entry) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise ValueError(f"has the name {_short(name)}: give the name of a category")
    return name


def _image(entry: Entry) -> BoxedImage:
    """An image, whose path may not lead out of the folder."""
    name = entry.get("file_name")
    if not isinstance(name, str) or not PurePosixPath(name).name or "\0" in name:
        raise ValueError(f"has the file_name {_short(name)}: give the path of an image")
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise ValueError(f"has the file_name {_short(name)}, which leads out of the folder: give a path inside of it")
    width, height = (_whole(entry, side) for side in ("width", "height"))
    if not (0 < width <= LARGEST and 0 < height <= LARGEST):
        raise ValueError(f"is of {width} x {height} pixels: give its width and height")
    return BoxedImage(str(path), None, width, height)


def _box(entry: Entry, images: Mapping[int, BoxedImage], places: Mapping[int, int]) -> _Box:
    image, category = _whole(entry, "image_id"), _whole(entry, "category_id")
    if image not in images:
        raise ValueError(f"is of the image {image}, which is not among the images")
    if category not in places:
        raise ValueError(f"is of the category {category}, which is not among the categories")
    sides = entry.get("bbox")
    if not (isinstance(sides, list) and len(sides) == 4 and all(_is_finite(side) for side in sides)):
        raise ValueError(f"has the bbox {_short(sides)}: give [x, y, width, height] in pixels")
    if (crowd := entry.get("iscrowd", 0)) not in (0, 1):
        raise ValueError(f"has the iscrowd {_short(crowd)}: give 0 or 1")
    return _Box(image, tuple(map(float, sides)), places[category], bool(crowd))


def _inside(box: _Box, image: BoxedImage) -> list[float] | None:
    """Left, top, right and bottom; None for a box that is empty, or not inside of its image."""
    left, top, width, height = box.sides
    limits = (image.width, image.height) * 2
    sides = [left, top, left + width, top + height]
    out = max(-min(sides), *(side - limit for side, limit in zip(sides, limits, strict=True)))
    cut = [min(max(side, 0.0), limit) for side, limit in zip(sides, limits, strict=True)]
    return cut if out < ROUNDING and cut[0] < cut[2] and cut[1] < cut[3] else None


def _report(path: Path, bad: Sequence[_Box], number: int, max_bad_share: float) -> None:
    if not bad:
        return
    said = (
        f"{path}: {len(bad)} of {number} boxes are empty or reach out of their images, such as the bbox "
        f"{list(bad[0].sides)} in the image {bad[0].image}"
    )
    if len(bad) > max_bad_share * number:
        raise ValueError(f"{said}, more than max_bad_share {max_bad_share:g} allows: give [x, y, width, height].")
    warnings.warn(f"{said}, and are left out.", stacklevel=3)


def _whole(entry: Entry, name: str) -> int:
    value = entry.get(name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"has the {name} {_short(value)}: give an integer")
    return value


def _is_finite(value: Any) -> bool:
    return (
        isinstance(value, (int, float))
        and not isinstance(value, bool)
        and abs(value) <= LARGEST
        and not math.isnan(value)
    )


def _short(value: Any) -> str:
    return repr(value)[:60]
