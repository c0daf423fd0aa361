# B batch, K shown samples, N tokens, M target blocks, Kc Kt kept tokens, P panels, H W height and width, h w the grid
"""What a method sees of each image, and what it predicts."""

import math
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from jepa_lightning.callbacks.pictures.base import Picture
from jepa_lightning.callbacks.pictures.colors import DISTINCT
from jepa_lightning.callbacks.pictures.sheet import Row, draw_sheet, enlarge, images_row
from jepa_lightning.callbacks.pictures.shown import colors_of, grid_of, panels_of, token_panels
from jepa_lightning.options import PositiveInt, Seed, check_options
from jepa_lightning.types import Masks

VEIL = 225  # gray of what is hidden
HIDDEN = 0.88  # share of the veil there
TINT = 0.4  # share of a block's color over its pixels
LINE = 96  # pixels of an image's side for each further pixel of a block's border


class _Found(NamedTuple):
    panels: Tensor  # uint8 [K, P, 3, H, W]
    masks: tuple[Masks, ...]
    grid: tuple[int, int, int]


class MaskPictures(Picture):
    """Draws images with the context that the encoder sees and the target blocks that are predicted from it.

    Masks are those of the module's own pipeline, from a seed of their own and new ones in each picture. Each target
    block has its color; where blocks overlap, the later one is on top. A clip is a strip over time, with a frame for
    each step of the token grid, and each kind of masks has its rows. The method must have masks, as ``IJEPA``,
    ``VJEPA`` and ``MAE``.

    Args:
        every_n_steps: optimizer steps between pictures; None draws before the first step and after each quarter of the
            run, or every 1,000 steps where its length is not known. The end of the run is drawn in any case.
        num_images: validation samples to show, or as many as there are; None shows 8 images or 2 clips.
        seed: of the masks.
        name: of the files; two of these need two names.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import MaskPictures
        >>> trainer = Trainer(callbacks=[MaskPictures(num_images=4)])
    """

    name = "masks"
    clips = 2  # which have rows for each kind of masks

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: PositiveInt | None = None,
        seed: Seed = 0,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(every_n_steps, num_images, name)
        self.seed = seed

    def measure(self, trainer: Trainer, module: Any) -> _Found:
        """Images and masks for them."""
        view = self.shown(trainer, module).view
        masks = drawn_masks(module, view, (self.seed + trainer.global_step) % 2**32)
        grid = grid_of(module, view)
        return _Found(panels_of(colors_of(module, view), grid[0]), masks, grid)

    def draw(self, found: _Found, step: int) -> Image.Image:
        """Rows of images, contexts and targets."""
        panels, masks, grid = found
        rows = [images_row(panels)]
        for number, each in enumerate(masks):
            kind = f" {number + 1}" if len(masks) > 1 else ""
            seen = _places(each.context, grid, (panels.shape[-2], panels.shape[-1]))
            rows.append(Row(f"context{kind}", _veiled(panels, seen)))
            rows.append(Row(f"targets{kind}", _targets(panels, each.target, grid)))
        blocks = max(each.target.shape[1] for each in masks)
        legend = (
            [(DISTINCT[block % len(DISTINCT)], f"target {block + 1}") for block in range(blocks)] if blocks > 1 else []
        )
        return draw_sheet(rows, f"what is seen, and what is predicted from it (step {step})", legend)


def drawn_masks(module: LightningModule, view: Tensor, seed: int) -> tuple[Masks, ...]:
    """Masks of a module's pipeline for some views, on the CPU. The caller isolates the generator.

    Args:
        module: with a pipeline.
        view: ``[K, C, H, W]`` or ``[K, C, T, H, W]``.
        seed: of torch's generator.

    Raises:
        ValueError: if the module has none.
    """
    pipeline = getattr(module, "pipeline", None)
    # not torch.manual_seed, which would seed devices too
    torch.default_generator.manual_seed(seed)
    masks: tuple[Masks, ...] = pipeline().collate(list(view.cpu())).masks if callable(pipeline) else ()
    if not masks:
        raise ValueError(f"{type(module).__name__} draws no masks: leave the callback out")
    return masks


def _places(tokens: Tensor, grid: tuple[int, int, int], size: tuple[int, int]) -> Tensor:
    """Pixels of tokens ``[K, n]``: bool ``[K, P, 1, H, W]``."""
    marks = torch.zeros(len(tokens), math.prod(grid), dtype=torch.bool)
    marks.scatter_(1, tokens.cpu(), torch.ones(tokens.shape, dtype=torch.bool))
    return enlarge(token_panels(marks, grid), size).unsqueeze(2)


def _veiled(panels: Tensor, kept: Tensor) -> Tensor:
    """Panels with a veil over all pixels that are not kept."""
    veiled = (1 - HIDDEN) * panels + HIDDEN * VEIL
    return torch.where(kept, panels, veiled.round().to(torch.uint8))


def _targets(panels: Tensor, target: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """Panels with each target block, ``[K, M, Kt]``, in its color; a single one is left in its own colors."""
    height, width = panels.shape[-2:]
    blocks = [_places(block, grid, (height, width)) for block in target.unbind(1)]
    picture = _veiled(panels, torch.stack(blocks).any(dim=0)).float()
    if len(blocks) == 1:
        return picture.to(torch.uint8)
    colors = [torch.tensor(DISTINCT[number % len(DISTINCT)]).view(3, 1, 1) for number in range(len(blocks))]
    for block, color in zip(blocks, colors, strict=True):
        picture = torch.where(block, (1 - TINT) * panels + TINT * color, picture)
    for block, color in zip(blocks, colors, strict=True):
        picture = torch.where(_edge(block, 1 + height // LINE), color, picture)
    return picture.round().to(torch.uint8)


def _edge(block: Tensor, width: int) -> Tensor:
    """Pixels of a block, bool ``[K, P, 1, H, W]``, that are at most so far from its border."""
    outside = F.pad((~block).float().flatten(0, 1), (width,) * 4, value=1.0)
    near = F.max_pool2d(outside, 2 * width + 1, stride=1) > 0
    return block & near.reshape(block.shape)
