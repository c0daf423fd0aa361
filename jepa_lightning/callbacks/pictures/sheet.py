# K items, P panels of an item, H W height and width
"""Rows of small images with their names, drawn without a plotting library."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

Color = tuple[int, int, int]
Font = ImageFont.ImageFont | ImageFont.FreeTypeFont

SIDE = (96, 192)  # smallest and largest side of a panel, in pixels
WIDTH = 1100  # of a line of items, which continues on the next one
MARGIN, GAP, SEAM, FRAME = 12, 8, 2, 4  # around the sheet, between items, between panels of one item, of a frame
TEXT, PALE = (40, 40, 40), (110, 110, 110)
FONT = 13


class Row(NamedTuple):
    """One row of a sheet.

    Attributes:
        name: at its left.
        items: uint8 ``[K, P, 3, H, W]``, of P panels each, such as the frames of a clip.
        frames: a color around each item, or None for an item without one.
    """

    name: str
    items: Tensor
    frames: Sequence[Color | None] = ()


def images_row(items: Tensor) -> Row:
    """The row of the samples themselves."""
    return Row("images" if items.shape[1] == 1 else "clips", items)


def draw_sheet(rows: Sequence[Row], caption: str, legend: Sequence[tuple[Color, str]] = ()) -> Image.Image:
    """Draws rows of equally many items below each other; where a line is full, all rows continue below.

    Args:
        rows: of items of one size.
        caption: a line at the top.
        legend: colors and what they mean, beside the caption.
    """
    font = ImageFont.load_default(FONT)
    side = _panel_size(rows[0].items)
    number, panels = rows[0].items.shape[:2]
    item = panels * (side[1] + SEAM) - SEAM
    in_line = max(1, min(number, (WIDTH + GAP) // (item + GAP)))
    left = MARGIN + max(math.ceil(font.getlength(row.name)) for row in rows) + GAP
    top, step = MARGIN + 2 * FONT, side[0] + GAP
    lines = math.ceil(number / in_line)
    block = len(rows) * step + GAP
    head = font.getlength(caption) + sum(font.getlength(text) + 3 * FONT for _, text in legend)
    width = max(left + in_line * (item + GAP) - GAP, math.ceil(head) + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, top + lines * block - 2 * GAP + MARGIN), "white")
    pen = ImageDraw.Draw(sheet)
    _write_head(pen, font, caption, legend)
    for place, row in enumerate(rows):
        images = _scaled(row.items, side)
        for line in range(lines):
            y = top + line * block + place * step
            pen.text((left - GAP, y + side[0] // 2), row.name, fill=TEXT, font=font, anchor="rm")
        for index in range(number):
            x, y = left + index % in_line * (item + GAP), top + index // in_line * block + place * step
            for panel in range(panels):
                sheet.paste(images[index][panel], (x + panel * (side[1] + SEAM), y))
            if row.frames and (color := row.frames[index]) is not None:
                pen.rectangle((x, y, x + item - 1, y + side[0] - 1), outline=color, width=FRAME)
    return sheet


def _write_head(pen: ImageDraw.ImageDraw, font: Font, caption: str, legend: Sequence[tuple[Color, str]]) -> None:
    pen.text((MARGIN, MARGIN + FONT // 2), caption, fill=TEXT, font=font, anchor="lm")
    x = MARGIN + font.getlength(caption) + 2 * FONT
    for color, text in legend:
        pen.rectangle((x, MARGIN + 1, x + FONT - 3, MARGIN + FONT - 2), fill=color)
        pen.text((x + FONT + 1, MARGIN + FONT // 2), text, fill=PALE, font=font, anchor="lm")
        x += font.getlength(text) + 3 * FONT


def _panel_size(items: Tensor) -> tuple[int, int]:
    """Height and width of a panel: whole multiples of small images, so that their pixels stay visible."""
    height, width = items.shape[-2:]
    least, most = SIDE
    if (small := min(height, width)) < least:
        factor = math.ceil(least / small)
        return height * factor, width * factor
    shrunk = min(1.0, most / max(height, width))
    return max(1, round(height * shrunk)), max(1, round(width * shrunk))


def _scaled(items: Tensor, size: tuple[int, int]) -> list[list[Image.Image]]:
    enlarged = size[0] >= items.shape[-2]
    mode = InterpolationMode.NEAREST if enlarged else InterpolationMode.BILINEAR
    scaled = resize(items.flatten(0, 1), list(size), mode, antialias=True).unflatten(0, items.shape[:2])
    return [[Image.fromarray(panel.permute(1, 2, 0).contiguous().numpy()) for panel in item] for item in scaled]


def enlarge(tokens: Tensor, size: tuple[int, int]) -> Tensor:
    """Values of tokens ``[..., h, w]`` at the pixels of an image of a size: ``[..., H, W]``, without smoothing.

    Args:
        tokens: on the grid of an image or a frame.
        size: H and W.
    """
    rows = torch.arange(size[0], device=tokens.device) * tokens.shape[-2] // size[0]
    columns = torch.arange(size[1], device=tokens.device) * tokens.shape[-1] // size[1]
    return tokens[..., rows[:, None], columns]
