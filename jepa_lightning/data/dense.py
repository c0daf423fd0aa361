# C channels, H W height and width, n objects
"""Labels of pixels beside images: what happens to an image happens to them."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torchvision import tv_tensors

from jepa_lightning.types import Sample

MASK, DEPTH, BOXES = "mask", "depth", "boxes"  # names of extras
BOX_CLASSES, BOX_CROWDS = "box_classes", "box_crowds"  # extras beside boxes
IGNORED = 255  # in a mask: a pixel without a label
DENSE = (MASK, DEPTH, BOXES)


def shown_with_labels(transform: Callable[..., Any], sample: Sample) -> tuple[Tensor, dict[str, Any]]:
    """One view of a sample's image, and its extras, of which those of pixels are those of the view.

    ``mask`` is int64 ``[H, W]`` of classes, 255 where there is no label; ``depth`` float ``[H, W]``, NaN where there is
    none; ``boxes`` float ``[n, 4]``, left, top, right and bottom in pixels, rows of NaN behind the last one, with
    ``box_classes`` int64 ``[n]``, -1 in such rows, and ``box_crowds`` bool ``[n]``, whether a box is around many
    objects. Masks and depths take the value of the nearest pixel. A box of which less than a pixel is left in the view,
    in width or height, becomes NaN.

    Args:
        transform: of torchvision, which takes an image and labels of its pixels together.
        sample: an image with extras.
    """
    extras = dict(sample.extras or {})
    names = [name for name in DENSE if name in extras]
    size = tuple(torch.as_tensor(extras[next(iter(names))]).shape[-2:]) if names[0] != BOXES else _size_of(sample.media)
    wrapped = [_wrapped(name, torch.as_tensor(extras[name]), size) for name in names]
    view, *found = transform(sample.media, *wrapped)
    for name, value in zip(names, found, strict=True):
        plain = value.as_subclass(Tensor)
        extras[name] = _visible(plain, view.shape[-2:]) if name == BOXES else plain.squeeze(0)
    if BOX_CLASSES in extras:
        gone = extras[BOXES].isnan().any(dim=1)
        extras[BOX_CLASSES] = torch.as_tensor(extras[BOX_CLASSES]).masked_fill(gone, -1)
    return view, extras


def has_dense(sample: Any) -> bool:
    """Whether a sample has labels of pixels, and no extras of another kind."""
    extras: Mapping[str, Any] = (sample.extras or {}) if isinstance(sample, Sample) else {}
    return any(name in extras for name in DENSE) and set(extras) <= {*DENSE, BOX_CLASSES, BOX_CROWDS}


def _wrapped(name: str, value: Tensor, size: tuple[int, ...]) -> Tensor:
    if name == BOXES:
        box: Tensor = tv_tensors.BoundingBoxes(value.float(), format="XYXY", canvas_size=size)
        return box
    mask: Tensor = tv_tensors.Mask(value[None])
    return mask


def _visible(boxes: Tensor, size: torch.Size) -> Tensor:
    limits = torch.tensor([size[1], size[0], size[1], size[0]])
    clipped = torch.minimum(boxes.clamp(min=0), limits)
    seen = (clipped[:, 2:] - clipped[:, :2]).amin(dim=1) >= 1
    return clipped.where(seen[:, None], torch.nan)


def _size_of(image: Any) -> tuple[int, ...]:
    return tuple(image.shape[-2:]) if isinstance(image, Tensor) else (image.height, image.width)
