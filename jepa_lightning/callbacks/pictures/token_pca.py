# K shown samples, N tokens, D width, P panels, H W height and width, h w the token grid
"""What the tokens of the evaluation encoder tell apart, as colors."""

from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor

from jepa_lightning.callbacks.batch_items import Item
from jepa_lightning.callbacks.pictures.base import Picture
from jepa_lightning.callbacks.pictures.basis import principal_scores
from jepa_lightning.callbacks.pictures.sheet import Row, draw_sheet, enlarge, images_row
from jepa_lightning.callbacks.pictures.shown import colors_of, grid_of, panels_of, token_panels
from jepa_lightning.callbacks.sources import Source
from jepa_lightning.options import PositiveInt, check_options

RANGE = 2.0  # standard deviations of a component from gray to a full color


class _Found(NamedTuple):
    panels: Tensor  # uint8 [K, P, 3, H, W]
    scores: dict[str, Tensor]  # [K, N, 3] of each row
    grid: tuple[int, int, int]


class TokenPCA(Picture):
    """Draws the tokens of the evaluation encoder as colors: their three strongest components are red, green and blue.

    Tokens of one color are alike for the encoder, whatever image they are of. The components are those of all shown
    samples together, each scaled to one variance. Tokens tell where they are as well as what is there, and often the
    first is stronger; so a further row, ``content``, has the components of what is left of tokens when the mean of
    their position over the shown samples is taken away. Signs and order are kept from one picture to the next, also
    where a run resumes. Tokens come from a ``JEPAModule``, or from the submodule that ``features`` names on any other
    LightningModule, as ``[B, N, D]`` or as maps ``[B, D, H, W]``. A clip is a strip over time.

    Args:
        every_n_steps: optimizer steps between pictures; None draws before the first step and after each quarter of the
            run, or every 1,000 steps where its length is not known. The end of the run is drawn in any case.
        num_images: validation samples to show, or as many as there are; None shows 8 images or 4 clips.
        features: dotted name of a submodule that gives tokens; None for a ``JEPAModule``.
        images: index or key of the images in the batch: a tensor, or a sequence of views.
        name: of the files, and of the state in checkpoints; two of these need two names.

    Example:
        >>> from lightning.pytorch import Trainer
        >>> from jepa_lightning.callbacks import TokenPCA
        >>> trainer = Trainer(callbacks=[TokenPCA(features="backbone")])
    """

    name = "token_pca"

    def __init__(
        self,
        every_n_steps: PositiveInt | None = None,
        num_images: PositiveInt | None = None,
        features: str | None = None,
        images: Item = 0,
        name: str | None = None,
    ) -> None:
        check_options(type(self), locals())
        super().__init__(every_n_steps, num_images, name, Source(type(self).__name__, features, None, images))
        self._scores: dict[str, Tensor] = {}  # [K * N, 3] of each row of the last picture

    def reset(self) -> None:
        """Forgets the colors of the last picture."""
        self._scores = {}

    def measure(self, trainer: Trainer, module: LightningModule) -> _Found:
        """Images, and the components of their tokens."""
        shown = self.shown(trainer, module)
        tokens = self.source.encode(trainer, module, shown.batch, [shown.view], pool=False, shared=False)
        network = None if self.source.features is None else self.source.network(module)
        grid = grid_of(module, shown.view, tokens.shape[1], network)
        rows = {"tokens": tokens.float()}
        if len(tokens) > 1:  # one sample is the mean of its positions
            rows["content"] = rows["tokens"] - rows["tokens"].mean(dim=0)
        self._scores = {
            name: principal_scores(values.flatten(0, 1), self._scores.get(name)) for name, values in rows.items()
        }
        scores = {name: values.reshape(*tokens.shape[:2], -1) for name, values in self._scores.items()}
        return _Found(panels_of(colors_of(module, shown.view), grid[0]), scores, grid)

    def draw(self, found: _Found, step: int) -> Image.Image:
        """Rows of images and of the colors of their tokens."""
        size = (found.panels.shape[-2], found.panels.shape[-1])
        rows = [images_row(found.panels)]
        for name, scores in found.scores.items():
            colors = (127.5 + 127.5 / RANGE * scores).clamp(0, 255).round().to(torch.uint8)
            rows.append(Row(name, enlarge(token_panels(colors, found.grid), size)))
        caption = f"tokens of one color are alike for the encoder (step {step})"
        return draw_sheet(rows, f"{caption}; content is without what all have at a place" if len(rows) > 2 else caption)

    def state_dict(self) -> dict[str, Any]:
        """The components of the last picture, with which the next ones agree."""
        return {"scores": dict(self._scores)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores them."""
        super().load_state_dict(state_dict)
        self._scores = dict(state_dict["scores"])
